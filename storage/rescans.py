"""Rescans: images that a model judged, scanned again with the model in use, as a new job for each affected job."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.words import Priority
from storage.database import connect_to_read
from storage.resubmission import resubmit_images
from storage.settings import CHUNK_SIZE
from storage.traces import describe_span, trace
from storage.verdict_search import VerdictFilter

# The maximum number of images considered at once, except for the last job.
JOBS_AT_ONCE = 100
IMAGES_AT_ONCE = 1_000_000
FIRST_ID = uuid.UUID(int=0)

# Ended jobs ordered by id, and whether they have matching verdicts. Jobs without any are included, so that the amount
# read is bounded. A job beyond the limit only shows that there are more. A job that ended before `since` has no later
# verdicts. In jobs that the same request has submitted, verdicts of models that workers have now do not count:
# otherwise there is no end if one of them is the model whose images are scanned again.
LIST_JOBS = """
    SELECT id, is_within, is_within AND EXISTS (
        SELECT FROM verdicts WHERE verdicts.job_id = listed.id AND model_id = ANY(:model_ids) AND {conditions}
            AND NOT (is_own AND model_id IN (SELECT model_id FROM workers))
    ) AS has_some
    FROM (
        SELECT id, row_number() OVER by_id <= :jobs AND sum(total) OVER by_id - total < :images AS is_within,
            rescan_of IS NOT NULL AND coalesce(right(idempotency_key, :digits) = :digest, false) AS is_own
        FROM (
            SELECT id, total, rescan_of, idempotency_key FROM jobs
            WHERE id > :after AND finished_at IS NOT NULL {narrowed} ORDER BY id LIMIT :jobs + 1
        ) AS ended WINDOW by_id AS (ORDER BY id)
    ) AS listed ORDER BY id
"""
# Of the SHA-256 of a request, which ends the idempotency keys of its jobs.
DIGITS = 32

# The number of changes of the model in use.
READ_USE = text("SELECT coalesce(max(id), 0) FROM model_uses")

# Jobs submitted under a key for a job's submitter.
FIND_MADE = text("""
    SELECT made.id, made.total FROM jobs JOIN jobs AS made USING (submitter)
    WHERE jobs.id = :id AND made.idempotency_key = :key
""")

# The rescans of a job.
LIST_RESCANS = text("SELECT id FROM jobs WHERE rescan_of = :id ORDER BY id")


@dataclass(frozen=True, slots=True)
class AffectedJobs:
    """Jobs with images to scan again, and the last job considered, None at the end."""

    job_ids: list[uuid.UUID]
    last: uuid.UUID | None


class Rescanning:
    """Images of ended jobs with matching verdicts by these models, to be scanned again.

    New jobs are `bulk`, reuse no verdicts, and have the submitter and threshold of the old job. What the same request
    has submitted under the same idempotency key, since a model was chosen, is not submitted again, so an interrupted
    caller may simply repeat it. Uploaded images that are no longer stored are counted and left out.
    """

    def __init__(
        self,
        engine: Engine,
        model_ids: Sequence[int],
        wanted: VerdictFilter,
        *,
        idempotency_key: str | None = None,
        name: str | None = None,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        self._engine = engine
        self._wanted = wanted
        self._conditions, parameters = wanted.conditions()
        self._parameters: dict[str, Any] = {**parameters, "model_ids": list(model_ids)}
        self._name = name
        self._chunk_size = chunk_size
        with connect_to_read(engine) as connection:
            use = connection.execute(READ_USE).scalar_one()
        asked = json.dumps([use, self._conditions, self._parameters, idempotency_key], default=_write)
        self._digest = hashlib.sha256(asked.encode()).hexdigest()[:DIGITS]

    def list_jobs(self, after: uuid.UUID = FIRST_ID) -> AffectedJobs:
        """Return the jobs with matching images among the next hundred after this one, or fewer if they are large."""
        narrowed = {
            "AND id = :job_id": self._wanted.job_id,
            "AND submitter = :submitter": self._wanted.submitter,
            "AND finished_at >= :since": self._wanted.since,
            "AND created_at < :until": self._wanted.until,
        }
        chosen = " ".join(each for each, value in narrowed.items() if value is not None)
        query = text(LIST_JOBS.format(conditions=self._conditions, narrowed=chosen))
        with connect_to_read(self._engine) as connection:
            bounds = {
                "after": after,
                "jobs": JOBS_AT_ONCE,
                "images": IMAGES_AT_ONCE,
                "digest": self._digest,
                "digits": DIGITS,
            }
            rows = connection.execute(query, {**self._parameters, **bounds}).all()
        within = [row.id for row in rows if row.is_within]
        return AffectedJobs([row.id for row in rows if row.has_some], within[-1] if len(within) < len(rows) else None)

    def submit(self, job_id: uuid.UUID) -> Rescan:
        """Submit the rescan of one job, in one transaction inside the database."""
        key = f"rescan {job_id} {self._digest}"
        conditions = f"model_id = ANY(:model_ids) AND {self._conditions}"
        with trace("submit"), self._engine.connect() as connection, connection.begin() as transaction:
            made = resubmit_images(
                connection, job_id, conditions, self._parameters, is_rescan=True, keep_gone=False, name=self._name,
                priority=Priority.BULK, idempotency_key=key, chunk_size=self._chunk_size,
            )  # fmt: skip
            if made is None:
                return find_made(connection, job_id, key)
            if not made.images:
                transaction.rollback()
                return Rescan(rescan_of=job_id, gone=made.gone)
            describe_span(job=made.job_id, images=made.images)
        return Rescan(rescan_of=job_id, job_id=made.job_id, images=made.images, gone=made.gone)

    def submit_all(self) -> Iterator[Rescan]:
        """Yield the result for each job with matching images."""
        after: uuid.UUID | None = FIRST_ID
        while after is not None:
            page = self.list_jobs(after)
            yield from map(self.submit, page.job_ids)
            after = page.last


def find_made(connection: Connection, job_id: uuid.UUID, key: str) -> Rescan:
    """Return what was submitted under this key before."""
    row = connection.execute(FIND_MADE, {"id": job_id, "key": key}).one_or_none()
    if row is None:
        return Rescan(rescan_of=job_id, was_done=True)
    return Rescan(rescan_of=job_id, job_id=row.id, images=row.total, was_done=True)


def _write(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def list_rescans(engine: Engine, job_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the rescans of this job, oldest first."""
    with connect_to_read(engine) as connection:
        return list(connection.execute(LIST_RESCANS, {"id": job_id}).scalars())
