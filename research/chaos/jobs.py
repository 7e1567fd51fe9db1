"""The jobs of a chaos run: a few hundred pictures, referred to again and again, and the deadly ones among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from research.chaos.poison import poison
from research.stego.drawn import draw_picture
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority
from storage.database import wait_out_outages
from storage.jobs import submit_job

Rng = np.random.Generator

PICTURES = 200
SIZES = (1, 7, 64, 500, 3000)
SUBMITTERS = ("ann", "bob", "eve")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job to be submitted: its references, its submitter, its priority and its idempotency key."""

    key: str
    references: list[str]
    submitter: str
    priority: Priority

    def submit(self, engine: Engine) -> None:
        """Submit the job, again and again under its key while the database is away."""
        wait_out_outages(
            lambda: submit_job(
                engine,
                self.references,
                JobOptions(priority=self.priority, idempotency_key=self.key),
                submitter=self.submitter,
            )
        )


def draw_pictures(folder: Path, rng: Rng, poisonous: int) -> tuple[list[str], list[str]]:
    """Draw pictures into the folder; return references to harmless and to deadly ones."""
    folder.mkdir()
    harmless: list[str] = []
    deadly: list[str] = []
    for number in range(PICTURES + poisonous):
        buffer = BytesIO()
        draw_picture(rng).save(buffer, "PNG")
        is_deadly = number >= PICTURES
        path = folder / f"{number}.png"
        path.write_bytes(poison(buffer.getvalue()) if is_deadly else buffer.getvalue())
        (deadly if is_deadly else harmless).append(path.as_uri())
    return harmless, deadly


def plan_jobs(harmless: list[str], deadly: list[str], images: int, rng: Rng) -> Iterator[PlannedJob]:
    """Yield jobs of mixed sizes until there are so many images; the deadly ones are spread over them."""
    places = set(rng.choice(images, size=len(deadly), replace=False).tolist())
    left = iter(deadly)
    planned = 0
    while planned < images:
        size = min(int(rng.choice(SIZES)), images - planned)
        references = [
            next(left) if planned + number in places else harmless[rng.integers(len(harmless))]
            for number in range(size)
        ]
        yield PlannedJob(
            key=f"chaos-{planned}",
            references=references,
            submitter=str(rng.choice(SUBMITTERS)),
            priority=Priority.INTERACTIVE if rng.random() < 0.2 else Priority.BULK,
        )
        planned += size
