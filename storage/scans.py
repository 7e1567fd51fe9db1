"""How a verdict came about: the chunk that it was scanned in."""

import uuid
from dataclasses import dataclass

from sqlalchemy import Engine, text

from storage.database import connect_to_read


@dataclass(frozen=True, slots=True)
class Scan:
    """The last claim of an image's chunk: who had it, None where nobody ever did, and how often it was claimed."""

    worker: str | None
    attempt: int
    losses: int


# The chunk that an image is in: of a claimant, the worker's name stands before the space.
FIND_SCAN = text("""
    SELECT split_part(worker, ' ', 1) AS worker, attempt, losses FROM chunks
    WHERE job_id = :job_id AND first_ordinal <= :ordinal ORDER BY first_ordinal DESC LIMIT 1
""")


def find_scan(engine: Engine, job_id: uuid.UUID, ordinal: int) -> Scan | None:
    """Return how an image of a job was scanned last, None where the job has no such image."""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_SCAN, {"job_id": job_id, "ordinal": ordinal}).one_or_none()
    return Scan(row.worker or None, row.attempt, row.losses) if row else None
