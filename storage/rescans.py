"""Scanning again what a model judged, with the one that is in use now: a job for each that has such verdicts."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from starlight_vocabulary.words import Priority
from storage.database import connect_to_read
from storage.resubmission import resubmit_images
from storage.settings import CHUNK_SIZE
from storage.traces import describe_span, trace
from storage.verdicts import VerdictFilter

JOBS_AT_ONCE = 100
FIRST_ID = uuid.UUID(int=0)

# Jobs that have ended and have such verdicts, in the order of their ids. A job that ended before a time has no verdict
# from then on.
LIST_JOBS = """
    SELECT id FROM jobs WHERE id > :after AND finished_at IS NOT NULL {narrowed}
        AND EXISTS (
            SELECT FROM verdicts WHERE verdicts.job_id = jobs.id AND model_id = ANY(:model_ids) AND {conditions}
        )
    ORDER BY id LIMIT :limit
"""

# How often the model in use was changed.
READ_USE = text("SELECT coalesce(max(id), 0) FROM model_uses")

# The jobs that scan images of one again.
LIST_RESCANS = text("SELECT id FROM jobs WHERE rescan_of = :id ORDER BY id")


@dataclass(frozen=True, slots=True)
class Rescan:
    """What became of one job: the one that scans its images again, how many these are, and how many have no bytes.

    Without a `job_id`, there is none: it has no images that are left, or `was_done` already.
    """

    rescan_of: uuid.UUID
    job_id: uuid.UUID | None = None
    images: int = 0
    gone: int = 0
    was_done: bool = False


def rescan_jobs(
    engine: Engine,
    model_ids: Sequence[int],
    wanted: VerdictFilter,
    *,
    again: bool = False,
    name: str | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Iterator[Rescan]:
    """Submit the images of ended jobs on which these models gave a verdict that is wanted; yield what becomes of each.

    A transaction for each job, inside the database. New jobs are `bulk`, reuse no verdict, and have the submitter and
    threshold of the old one. What was submitted by the same call before, since a model was chosen, is not submitted
    anew, unless `again`: whoever was interrupted may call again. Images that were uploaded and are no longer stored are
    counted and left out.
    """
    conditions, parameters = wanted.conditions()
    conditions = f"model_id = ANY(:model_ids) AND {conditions}"
    parameters |= {"model_ids": list(model_ids)}
    with connect_to_read(engine) as connection:
        use = connection.execute(READ_USE).scalar_one()
    asked = json.dumps([use, conditions, parameters], default=_write)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:32]
    for job_id in _list_jobs(engine, model_ids, wanted):
        key = None if again else f"rescan {job_id} {digest}"
        with trace("submit"), engine.connect() as connection, connection.begin() as transaction:
            made = resubmit_images(
                connection, job_id, conditions, parameters, is_rescan=True, keep_gone=False, name=name,
                priority=Priority.BULK, idempotency_key=key, chunk_size=chunk_size,
            )  # fmt: skip
            if made is not None and made.images:
                describe_span(job=made.job_id, images=made.images)
            elif made is not None:
                transaction.rollback()
        if made is None:
            yield Rescan(job_id, was_done=True)
        else:
            yield Rescan(job_id, made.job_id if made.images else None, made.images, made.gone)


def _list_jobs(engine: Engine, model_ids: Sequence[int], wanted: VerdictFilter) -> Iterator[uuid.UUID]:
    narrowed = {
        "AND id = :job_id": wanted.job_id,
        "AND submitter = :submitter": wanted.submitter,
        "AND finished_at >= :since": wanted.since,
        "AND created_at < :until": wanted.until,
    }
    conditions, parameters = wanted.conditions()
    query = text(
        LIST_JOBS.format(
            conditions=conditions, narrowed=" ".join(each for each, value in narrowed.items() if value is not None)
        )
    )
    after = FIRST_ID
    while True:
        with connect_to_read(engine) as connection:
            values = {**parameters, "after": after, "limit": JOBS_AT_ONCE, "model_ids": list(model_ids)}
            page = list(connection.execute(query, values).scalars())
        yield from page
        if len(page) < JOBS_AT_ONCE:
            return
        after = page[-1]


def _write(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def list_rescans(engine: Engine, job_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the jobs that scanned images of this one again with another model, oldest first."""
    with connect_to_read(engine) as connection:
        return list(connection.execute(LIST_RESCANS, {"id": job_id}).scalars())
