"""Figures about the whole installation."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from producer.api.access import Reading
from producer.api.service import Shared
from storage.figures import take_figures
from storage.workers import live_workers

router = APIRouter(prefix="/v1", tags=["statistics"])


class Worker(BaseModel):
    """A worker process that reported lately."""

    name: str = Field(examples=["gpu0@host"])
    device: str = Field(examples=["gpu0"])
    seen_at: datetime


class Statistics(BaseModel):
    """How much is done, how much waits and who works."""

    taken_at: datetime
    images_per_minute: int = Field(description="Verdicts stored in the last 60 seconds.")
    target_images_per_minute: int
    submitted: int = Field(description="References of all jobs.")
    outcomes: dict[str, int] = Field(
        description="Verdicts of all jobs.", examples=[{"clean": 980, "stego": 15, "error": 5}]
    )
    waiting: dict[str, int] = Field(
        description="Images without a verdict, by the state of their chunk.",
        examples=[{"pending": 5000, "dispatched": 4096, "running": 1024}],
    )
    oldest_waiting_s: float = Field(description="Age of the oldest job with images that nobody has claimed.")
    workers: list[Worker]


@router.get("/stats")
def statistics(_key: Reading, service: Shared) -> Statistics:
    """Return throughput beside its target, what waits and since when, outcomes, and live workers, of all jobs."""
    figures = take_figures(service.engine)
    return Statistics(
        taken_at=figures.taken_at,
        images_per_minute=figures.finished_last_minute,
        target_images_per_minute=service.settings.target_images_per_minute,
        submitted=figures.submitted,
        outcomes=figures.outcomes,
        waiting=figures.waiting,
        oldest_waiting_s=figures.oldest_waiting_s,
        workers=[
            Worker(name=worker.name, device=worker.device, seen_at=worker.seen_at)
            for worker in live_workers(service.engine, service.settings.lease_s)
        ],
    )
