"""The jobs of a chaos run: repeated references to a few hundred pictures, with hostile ones among them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from research.chaos.hostile import HOSTILE
from research.stego.drawn import draw_picture
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import ErrorCode, Priority
from storage.database import wait_out_outages
from storage.submission import submit_job

Rng = np.random.Generator

PICTURES = 200
SIZES = (1, 7, 64, 500, 3000)
SUBMITTERS = ("ann", "bob", "eve")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job to submit: references, submitter, priority and idempotency key."""

    key: str
    references: list[str]
    submitter: str
    priority: Priority

    def submit(self, engine: Engine) -> None:
        """Submit the job; retries under its idempotency key while the database is unavailable."""
        wait_out_outages(
            lambda: submit_job(
                engine,
                self.references,
                JobOptions(priority=self.priority, idempotency_key=self.key),
                submitter=self.submitter,
            )
        )


def draw_pictures(folder: Path, rng: Rng, hostile: int) -> tuple[list[str], dict[str, ErrorCode]]:
    """Draw pictures into the folder; return references to harmless ones, and to hostile ones with expected errors."""
    folder.mkdir()
    harmless = [_write(folder / f"{number}.png", _draw(rng)) for number in range(PICTURES)]
    kinds = list(islice(cycle(HOSTILE.items()), hostile))
    expected = {
        _write(folder / f"hostile-{number}", make(_draw(rng))): code for number, (make, code) in enumerate(kinds)
    }
    return harmless, expected


def _draw(rng: Rng) -> bytes:
    buffer = BytesIO()
    draw_picture(rng).save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return path.as_uri()


def plan_jobs(harmless: list[str], hostile: Collection[str], images: int, rng: Rng) -> Iterator[PlannedJob]:
    """Yield jobs of mixed sizes with `images` references in total, and the hostile ones spread over them."""
    places = set(rng.choice(images, size=len(hostile), replace=False).tolist())
    left = iter(hostile)
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
