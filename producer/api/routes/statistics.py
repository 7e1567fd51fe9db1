"""Figures about the whole installation."""

from fastapi import APIRouter

from producer.api.access import Reading
from producer.api.service import Shared
from starlight_vocabulary.answers import Statistics
from storage.figures import take_figures
from storage.workers import list_live_workers

router = APIRouter(prefix="/v1", tags=["statistics"])


@router.get("/stats")
def show_statistics(_key: Reading, service: Shared) -> Statistics:
    """Return throughput beside its target, what waits and since when, outcomes, and live workers, of all jobs."""
    figures = take_figures(service.engine)
    return Statistics(
        taken_at=figures.taken_at,
        images_per_minute=figures.finished_last_minute,
        target_images_per_minute=service.settings.target_images_per_minute,
        submitted=figures.submitted,
        outcomes={each.value: count for each, count in figures.outcomes.items()},
        waiting={each.value: count for each, count in figures.waiting.items()},
        oldest_waiting_s=figures.oldest_waiting_s,
        workers=list(list_live_workers(service.engine, service.settings.lease_s)),
    )
