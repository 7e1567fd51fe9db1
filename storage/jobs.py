"""Jobs: submitted in one transaction, looked at, listed and cancelled."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, RowMapping, text

from starlight_vocabulary.job import Job, JobOptions
from starlight_vocabulary.words import ErrorCode, JobState, ListingState, Priority, WebhookKind
from storage.database import CANCELLED, FINISHED, SUBMITTED, connect_to_read
from storage.settings import CHUNK_SIZE
from storage.totals import Total, count_errors, count_one, raise_totals
from storage.traces import read_traceparent
from storage.verdicts import LOCK_JOB
from storage.waiting import WaitingLimits, find_room


class EmptyJobError(ValueError):
    """A job needs at least one image."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: `created` is false where the idempotency key named an earlier job."""

    job_id: uuid.UUID
    total: int
    created: bool


class ListedObject(NamedTuple):
    """An object of a bucket as it was listed; its version changes whenever it does."""

    uri: str
    version: str


# What names an image of a job.
Reference = str | ListedObject


class UploadExpiredError(RuntimeError):
    """What was uploaded for a job came in too slowly, and is gone."""


NO_OPTIONS = JobOptions()

# A new job, nothing where the submitter used the idempotency key before.
INSERT_JOB = text("""
    INSERT INTO jobs (id, name, submitter, idempotency_key, priority, threshold, follow_links, canary, since, total)
    VALUES (coalesce(CAST(:id AS uuid), uuidv7()), :name, :submitter, :idempotency_key, :priority, :threshold,
        :follow_links, :canary, :since, 0)
    ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id
""")

# The job that the submitter used the idempotency key for.
FIND_EARLIER_JOB = text("SELECT id, total FROM jobs WHERE submitter = :submitter AND idempotency_key = :key")

# How many references the job has, once they are stored, and the end of its upload, whose blobs are the job's from now
# on; dispatchers hear of it at the commit.
COMPLETE_JOB = text("""
    WITH uploaded AS (
        DELETE FROM uploads WHERE job_id = :id RETURNING 1
    )
    UPDATE jobs SET total = :total,
        kept_blobs = CASE WHEN EXISTS (SELECT FROM job_blobs WHERE job_id = :id) THEN 'all' ELSE 'none' END
    WHERE id = :id RETURNING (SELECT count(*) FROM uploaded), pg_notify(:channel, '')
""")

# The job's webhook, due once the job has ended.
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
    """Store a job and its chunks in one transaction, reading `references` once and holding one chunk of them.

    Unless it may `follow_links`, `file://` references whose path has links in it when it is read are not read. With an
    idempotency key that this submitter used before, the earlier job is returned and `references` is not read.
    `upload_id` is the upload that becomes this job. A `canary` is left out of searches and totals. `since` is the job
    whose objects are left out of this one as long as they are the same. `also` is called with the id of a new job, in
    its transaction. References that stand for what is still to be listed do not `counts_as_images`. Raises what `also`
    raises, EmptyJobError where there is no reference, TooManyWaitingError and UploadExpiredError; then nothing is
    stored.
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
            assert earlier is not None, "it is what the insertion met"
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
    """Return the job that the submitter used this idempotency key for, or None."""
    with connect_to_read(engine) as connection:
        return _find_earlier_job(connection, submitter, idempotency_key)


def _find_earlier_job(connection: Connection, submitter: str, idempotency_key: str | None) -> Submission | None:
    row = connection.execute(FIND_EARLIER_JOB, {"submitter": submitter, "key": idempotency_key}).one_or_none()
    return None if row is None else Submission(row.id, row.total, created=False)


# The chunks of a new job, as fast as they come.
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
    """Store chunks of references, which have ordinals from `first_ordinal` on; return how many references these are."""
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


# What of a job is no column of its own.
COMPUTED = {
    "finished": "clean + stego + error AS finished",
    "listing": "(SELECT listings.state FROM listings WHERE job_id = jobs.id) AS listing",
    "listing_error": "(SELECT listings.error FROM listings WHERE job_id = jobs.id) AS listing_error",
}
JOB_COLUMNS = ", ".join(COMPUTED.get(field.name, field.name) for field in fields(Job))


def read_job(row: RowMapping) -> Job:
    """Return the job of a row of `JOB_COLUMNS`."""
    listing = row["listing"] and ListingState.read(row["listing"])
    values: dict[str, Any] = {
        **row, "priority": Priority.read(row["priority"]), "state": JobState.read(row["state"]), "listing": listing
    }  # fmt: skip
    return Job(**values)


# One job.
GET_JOB = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = :id")


def get_job(engine: Engine, job_id: uuid.UUID) -> Job | None:
    """Return the job, or None where there is none with this id."""
    with connect_to_read(engine) as connection:
        row = connection.execute(GET_JOB, {"id": job_id}).mappings().one_or_none()
    return read_job(row) if row else None


# How far some jobs are.
COUNT_FINISHED = text("SELECT id, clean + stego + error AS finished FROM jobs WHERE id = ANY(:ids)")


def count_finished(engine: Engine, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return how many references of each of these jobs have their verdict; jobs that do not exist are left out."""
    with connect_to_read(engine) as connection:
        return {row.id: row.finished for row in connection.execute(COUNT_FINISHED, {"ids": list(job_ids)})}


# As the index of open jobs has it.
IS_OPEN = "state IN ('pending', 'running')"
# The newest jobs: ids grow with time.
LIST_JOBS = f"SELECT {JOB_COLUMNS} FROM jobs WHERE {{conditions}} ORDER BY id DESC LIMIT :limit"


def list_jobs(
    engine: Engine,
    *,
    limit: int = 20,
    submitter: str | None = None,
    before: uuid.UUID | None = None,
    only_open: bool = False,
    state: JobState | None = None,
    sought: str | None = None,
) -> list[Job]:
    """Return the newest jobs, newest first; canaries only where their submitter is named.

    Where it is wanted, those of one submitter, older than a job, not ended, in one state, or with `sought` in their
    name or as their id.
    """
    narrowed = {
        "submitter = :submitter": submitter,
        "NOT canary": submitter is None or None,
        "id < :before": before,
        IS_OPEN: only_open or None,
        "state = :state": state,
        "(strpos(lower(name), lower(:sought)) > 0 OR id::text = lower(:sought))": sought,
    }
    conditions = " AND ".join(condition for condition, value in narrowed.items() if value is not None) or "true"
    parameters = {"limit": limit, "submitter": submitter, "before": before, "state": state, "sought": sought}
    with connect_to_read(engine) as connection:
        rows = connection.execute(text(LIST_JOBS.format(conditions=conditions)), parameters).mappings()
        return [read_job(row) for row in rows]


# Whether a job has chunks that have not ended.
HAS_OPEN_CHUNKS = text("""
    SELECT EXISTS (SELECT FROM chunks WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running'))
""")

# Their end.
CANCEL_CHUNKS = text("""
    UPDATE chunks SET state = 'cancelled', lease_until = NULL
    WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running')
""")

# The end of the listing of its sources, of which one is a reference of the job that did not count as an image.
CANCEL_LISTING = text("""
    UPDATE listings SET state = 'cancelled', error = NULL, holder = NULL, lease_until = NULL
    WHERE job_id = :id AND state IN ('waiting', 'running')
""")

# Verdicts for what has none, and the end of the job.
CANCEL_JOB = text(f"""
    WITH locked AS (
        {LOCK_JOB.format(job=":id")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, ordinal, uri, outcome, error_code, error_detail)
        SELECT locked.*, first_ordinal + position - 1, uri, 'error', 'cancelled', 'the job was cancelled'
        FROM locked, chunks, unnest(refs) WITH ORDINALITY AS listed (uri, position)
        WHERE chunks.job_id = locked.id AND chunks.state = 'cancelled'
        ON CONFLICT DO NOTHING RETURNING 1
    ), counted AS (
        SELECT count(*) AS written FROM written
    )
    UPDATE jobs SET error = error + written, state = CASE WHEN state = 'done' THEN 'done' ELSE 'cancelled' END,
        finished_at = coalesce(finished_at, now())
    FROM counted WHERE id = :id RETURNING written, canary, pg_notify(:channel, id::text)
""")


def cancel_job(engine: Engine, job_id: uuid.UUID) -> int | None:
    """End the job: each reference without a verdict gets an `error` verdict with code `cancelled`.

    Returns how many did, or None where there is no such job. A chunk that is running loses its claim.
    """
    with engine.begin() as connection:
        # Chunks before the job, the order in which workers lock them too. Again until none is left: a chunk that
        # was split while we waited for its lock has pieces that the first look did not see.
        while connection.execute(HAS_OPEN_CHUNKS, {"id": job_id}).scalar_one():
            connection.execute(CANCEL_CHUNKS, {"id": job_id})
        uncounted = connection.execute(CANCEL_LISTING, {"id": job_id}).rowcount
        cancelled = connection.execute(CANCEL_JOB, {"id": job_id, "channel": FINISHED}).one_or_none()
        connection.execute(text(f"NOTIFY {CANCELLED}"))
        if cancelled is not None and not cancelled.canary:
            submitted = count_one(Total.IMAGES_SUBMITTED, by=uncounted)
            raise_totals(connection, submitted + count_errors(ErrorCode.CANCELLED, cancelled.written))
    return None if cancelled is None else int(cancelled.written)
