"""Submitting jobs: each with its chunks in one transaction."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority, WebhookKind
from storage.database import connect_to_read
from storage.notifications import SUBMITTED
from storage.settings import CHUNK_SIZE
from storage.totals import Total, count_one, raise_totals
from storage.traces import read_traceparent
from storage.waiting import WaitingLimits, find_room


class EmptyJobError(ValueError):
    """A job needs at least one image."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The result of a submission: `created` is false if the idempotency key belongs to an earlier job."""

    job_id: uuid.UUID
    total: int
    created: bool


class ListedObject(NamedTuple):
    """An object of a bucket as listed; its version changes with its content."""

    uri: str
    version: str


# A reference of an image.
Reference = str | ListedObject


class UploadExpiredError(RuntimeError):
    """The upload of a job took too long, and its data was deleted."""


NO_OPTIONS = JobOptions()

# Inserts a job, unless the submitter has used the idempotency key before.
INSERT_JOB = text("""
    INSERT INTO jobs (id, name, submitter, idempotency_key, priority, threshold, follow_links, canary, since, total)
    VALUES (coalesce(CAST(:id AS uuid), uuidv7()), :name, :submitter, :idempotency_key, :priority, :threshold,
        :follow_links, :canary, :since, 0)
    ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id
""")

# The submitter's job with this idempotency key.
FIND_EARLIER_JOB = text("SELECT id, total FROM jobs WHERE submitter = :submitter AND idempotency_key = :key")

# Sets the number of references once they are stored, and ends the upload, whose blobs now belong to the job; notifies
# dispatchers at the commit.
COMPLETE_JOB = text("""
    WITH uploaded AS (
        DELETE FROM uploads WHERE job_id = :id RETURNING 1
    )
    UPDATE jobs SET total = :total,
        kept_blobs = CASE WHEN EXISTS (SELECT FROM job_blobs WHERE job_id = :id) THEN 'all' ELSE 'none' END
    WHERE id = :id RETURNING (SELECT count(*) FROM uploaded), pg_notify(:channel, '')
""")

# Inserts the job's webhook, due once the job has ended.
INSERT_WEBHOOK = text("INSERT INTO webhooks (job_id, url, kind) VALUES (:id, :url, :kind)")


def submit_job(
    engine: Engine,
    references: Iterable[Reference],
    options: JobOptions = NO_OPTIONS,
    *,
    submitter: str,
    chunk_size: int = CHUNK_SIZE,
    follow_links: bool = True,
    limits: WaitingLimits | None = None,
    upload_id: uuid.UUID | None = None,
    canary: bool = False,
    since: uuid.UUID | None = None,
    also: Callable[[Connection, uuid.UUID], object] = lambda connection, job_id: None,
    counts_as_images: bool = True,
) -> Submission:
    """Store a job and its chunks in one transaction; reads `references` once and keeps one chunk in memory.

    Unless it may `follow_links`, workers refuse `file://` references whose path contains links. If the submitter has
    used the idempotency key before, the earlier job is returned and `references` is not read. `upload_id` is the upload
    that becomes this job. A `canary` is excluded from searches and totals. `since` is the job whose unchanged objects
    are left out. `also` is called with the id of a new job, in its transaction. A reference that stands for a source to
    be listed does not `counts_as_images`.

    Raises EmptyJobError without references, TooManyWaitingError, UploadExpiredError, and whatever `also` raises; then
    nothing is stored.
    """
    with engine.begin() as connection:
        job_id = connection.execute(
            INSERT_JOB,
            {
                "id": upload_id,
                "name": options.name,
                "submitter": submitter,
                "idempotency_key": options.idempotency_key,
                "priority": options.priority,
                "threshold": options.threshold,
                "follow_links": follow_links,
                "canary": canary,
                "since": since,
            },
        ).scalar()
        if job_id is None:
            earlier = _find_earlier_job(connection, submitter, options.idempotency_key)
            assert earlier is not None, "the insertion conflicted with it"
            return earlier
        total = copy_chunks(connection, job_id, submitter, options.priority, references, chunk_size)
        if total == 0:
            raise EmptyJobError("there is no image to scan")
        if limits is not None:
            find_room(connection, submitter, limits).check(total)
        uploads, _ = connection.execute(COMPLETE_JOB, {"total": total, "id": job_id, "channel": SUBMITTED}).one()
        if upload_id is not None and not uploads:
            raise UploadExpiredError
        if options.webhook is not None:
            kind = options.webhook_kind or WebhookKind.STANDARD
            connection.execute(INSERT_WEBHOOK, {"id": job_id, "url": options.webhook, "kind": kind})
        also(connection, job_id)
        counted = total if counts_as_images and not canary else 0
        raise_totals(connection, count_one(Total.IMAGES_SUBMITTED, by=counted))
    return Submission(job_id, total, created=True)


def find_earlier_job(engine: Engine, submitter: str, idempotency_key: str) -> Submission | None:
    """Return the submitter's job with this idempotency key, or None."""
    with connect_to_read(engine) as connection:
        return _find_earlier_job(connection, submitter, idempotency_key)


def _find_earlier_job(connection: Connection, submitter: str, idempotency_key: str | None) -> Submission | None:
    row = connection.execute(FIND_EARLIER_JOB, {"submitter": submitter, "key": idempotency_key}).one_or_none()
    return None if row is None else Submission(row.id, row.total, created=False)


# COPY is the fastest way to insert the chunks.
COPY_CHUNKS = """
    COPY chunks (job_id, submitter, priority, first_ordinal, refs, versions, images, traceparent)
    FROM STDIN (FORMAT BINARY)
"""


def copy_chunks(
    connection: Connection,
    job_id: uuid.UUID,
    submitter: str,
    priority: Priority,
    references: Iterable[Reference],
    chunk_size: int,
    first_ordinal: int = 0,
) -> int:
    """Store chunks of references with ordinals from `first_ordinal` on; return the number of references."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    total, traceparent = 0, read_traceparent()
    with driver.cursor() as cursor, cursor.copy(COPY_CHUNKS) as copy:
        copy.set_types(["uuid", "text", "text", "int4", "text[]", "text[]", "int4", "text"])
        for group in _cut(references, chunk_size):
            refs = [each if isinstance(each, str) else each.uri for each in group]
            listed = [None if isinstance(each, str) else each.version for each in group]
            versions = listed if any(listed) else None
            row = (job_id, submitter, priority.value, first_ordinal + total, refs, versions, len(refs), traceparent)
            copy.write_row(row)
            total += len(refs)
    return total


def _cut(references: Iterable[Reference], size: int) -> Iterator[list[Reference]]:
    remaining = iter(references)
    while refs := list(islice(remaining, size)):
        yield refs
