"""Deleting ended jobs with their verdicts and blobs, or only their blobs, on request."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from storage.database import connect_to_read
from storage.partitions import drop_oldest_partition, read_oldest_id
from storage.retention import release_blobs

JOBS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """Which ended jobs: these ids, or those that ended before a time; of one submitter or all. None is no restriction.

    Ids must be below `below`.
    """

    job_ids: Sequence[uuid.UUID] | None = None
    before: datetime | None = None
    submitter: str | None = None
    below: uuid.UUID | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL condition on `jobs`, and its parameters."""
        narrowed = {
            "id = ANY(:job_ids)": self.job_ids,
            "finished_at < :before": self.before,
            "submitter = :submitter": self.submitter,
            "id < :below": self.below,
        }
        wanted = ["finished_at IS NOT NULL", *(condition for condition, value in narrowed.items() if value is not None)]
        job_ids = None if self.job_ids is None else list(self.job_ids)
        parameters = {"job_ids": job_ids, "before": self.before, "submitter": self.submitter, "below": self.below}
        return " AND ".join(wanted), parameters


@dataclass(frozen=True, slots=True)
class PurgeFigures:
    """What would be deleted: the number of jobs and verdicts, and the bytes of stored images."""

    jobs: int
    verdicts: int
    stored_bytes: int


# What these jobs contain. Images kept by two of them count twice.
MEASURE_JOBS = """
    WITH wanted AS (SELECT id, total FROM jobs WHERE {conditions})
    SELECT count(*), coalesce(sum(total), 0), coalesce((
        SELECT sum(size_bytes) FROM wanted JOIN job_blobs ON job_id = wanted.id JOIN blobs USING (sha256)
    ), 0) FROM wanted
"""


def measure_jobs(engine: Engine, wanted: EndedJobs) -> PurgeFigures:
    """Return what these jobs contain."""
    conditions, parameters = wanted.conditions()
    with connect_to_read(engine) as connection:
        jobs, verdicts, stored_bytes = connection.execute(
            text(MEASURE_JOBS.format(conditions=conditions)), parameters
        ).one()
    return PurgeFigures(jobs, int(verdicts), int(stored_bytes))


# Some of these jobs, locked; `more` excludes those with nothing left to delete.
LOCK_JOBS = "SELECT id, submitter FROM jobs WHERE {conditions} {more} ORDER BY id LIMIT :limit FOR UPDATE"

# Deletes jobs with their chunks, verdicts and webhooks.
DELETE_JOBS = text("DELETE FROM jobs WHERE id = ANY(:ids)")

# Marks jobs as keeping no blobs.
KEEP_NO_BLOBS = text("UPDATE jobs SET kept_blobs = 'none' WHERE id = ANY(:ids)")


def purge_jobs(engine: Engine, wanted: EndedJobs, *, only_blobs: bool) -> Iterator[int]:
    """Delete these jobs, or only release their blobs, a few per transaction; yield their numbers.

    The blobs are only released: `storage.retention.delete_released_blobs` deletes them.
    """
    conditions, parameters = wanted.conditions()
    more = "AND kept_blobs <> 'none'" if only_blobs else ""
    lock = text(LOCK_JOBS.format(conditions=conditions, more=more))
    while True:
        with engine.begin() as connection:
            rows = connection.execute(lock, {**parameters, "limit": JOBS_AT_ONCE}).all()
            if not rows:
                return
            release_blobs(connection, [(row.id, row.submitter) for row in rows], but_evidence=False)
            connection.execute(KEEP_NO_BLOBS if only_blobs else DELETE_JOBS, {"ids": [row.id for row in rows]})
        yield len(rows)


def purge_partitions(engine: Engine, before: datetime) -> Iterator[int]:
    """Drop the partitions all of whose jobs ended before a time, and delete these jobs; yield their numbers.

    The verdicts go first, at once, so the jobs have none for a while; after an interruption the next call deletes them.
    Raises PartitionError.
    """
    while True:
        dropped = drop_oldest_partition(engine, before)
        if (oldest := read_oldest_id(engine)) is not None:
            yield from purge_jobs(engine, EndedJobs(before=before, below=oldest), only_blobs=False)
        if dropped is None:
            return
