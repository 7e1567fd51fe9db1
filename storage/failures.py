"""Images that ended in an error: counted by their codes, and scanned again as a new job."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from starlight_vocabulary.words import FAILURES, ErrorCode
from storage.database import SUBMITTED, connect_to_read
from storage.jobs import COMPLETE_JOB, Submission
from storage.settings import CHUNK_SIZE
from storage.totals import Total, count_one, raise_totals
from storage.traces import describe_span, read_traceparent, trace
from storage.verdicts import VerdictFilter


class RetryError(ValueError):
    """A job that cannot be retried; the message says why."""


# Failed images by their code, the most frequent first.
COUNT_FAILURES = """
    SELECT error_code, count(*) AS images FROM verdicts WHERE outcome = 'error' AND {conditions}
    GROUP BY error_code ORDER BY count(*) DESC, error_code
"""


def count_failures(engine: Engine, wanted: VerdictFilter) -> dict[ErrorCode, int]:
    """Return how many verdicts have which error code, most frequent first."""
    conditions, parameters = wanted.conditions()
    query = text(COUNT_FAILURES.format(conditions=conditions))
    with connect_to_read(engine) as connection:
        return {ErrorCode.read(row.error_code): row.images for row in connection.execute(query, parameters)}


@dataclass(frozen=True, slots=True)
class RecentFailure:
    """How many of the newest failures have a code, in how many jobs, and the newest of them."""

    code: ErrorCode
    images: int
    jobs: int
    job_id: uuid.UUID
    ordinal: int
    uri: str
    detail: str | None


# The newest failures of a day, by the index on what was found where they are rare, else by that on time.
LIST_RECENT_FAILURES = text("""
    WITH recent AS MATERIALIZED (
        SELECT error_code, job_id, ordinal, uri, error_detail, scanned_at FROM verdicts
        WHERE outcome = 'error' AND method IS NULL AND scanned_at > now() - interval '24 hours'
        ORDER BY scanned_at DESC LIMIT :most
    ), counted AS (
        SELECT error_code, count(*) AS images, count(DISTINCT job_id) AS jobs FROM recent
        WHERE error_code <> 'cancelled' GROUP BY error_code
    )
    SELECT DISTINCT ON (error_code) error_code, images, jobs, job_id, ordinal, uri, error_detail
    FROM recent JOIN counted USING (error_code) ORDER BY error_code, scanned_at DESC
""")


def list_recent_failures(engine: Engine, most: int) -> list[RecentFailure]:
    """Return the last day's failures by their code, of at most so many errors, the most frequent first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_RECENT_FAILURES, {"most": most}).all()
    found = [RecentFailure(ErrorCode.read(row.error_code), *row[1:]) for row in rows]
    return sorted(found, key=lambda each: -each.images)


# What a job that may be retried hands on to its chunks.
FIND_ENDED_JOB = text("SELECT submitter, priority, clean + stego + error = total AS ended FROM jobs WHERE id = :id")

# The new job, which takes after the old one.
INSERT_RETRY = text("""
    INSERT INTO jobs (name, submitter, priority, threshold, follow_links, retry_of, total)
    SELECT coalesce(:name, name), submitter, priority, threshold, follow_links, id, 0 FROM jobs WHERE id = :id
    RETURNING id
""")

# The blobs among them that are still stored, which the new job needs from now on. Rows are locked in one order by all
# who lock several of them.
KEEP_FAILED_BLOBS = text("""
    WITH locked AS MATERIALIZED (
        SELECT sha256, size_bytes FROM blobs WHERE sha256 IN (
            SELECT decode(substring(uri FROM 8 FOR 64), 'hex') FROM verdicts
            WHERE job_id = :id AND outcome = 'error' AND error_code = ANY(:codes) AND uri ~ '^blob://[0-9a-f]{64}/'
        ) ORDER BY sha256 FOR NO KEY UPDATE
    ), marked AS (
        UPDATE blobs SET released_at = NULL FROM locked WHERE blobs.sha256 = locked.sha256
    ), kept AS (
        INSERT INTO job_blobs (job_id, sha256) SELECT :retry_id, sha256 FROM locked
    )
    INSERT INTO submitters (name, stored_bytes) SELECT :submitter, coalesce(sum(size_bytes), 0) FROM locked
    ON CONFLICT (name) DO UPDATE SET stored_bytes = submitters.stored_bytes + excluded.stored_bytes
""")

# The chunks of failed images, in the order in which these were submitted, and how many images they have.
COPY_FAILED = text("""
    WITH failed AS (
        SELECT uri, (row_number() OVER (ORDER BY ordinal) - 1)::int4 AS place FROM verdicts
        WHERE job_id = :id AND outcome = 'error' AND error_code = ANY(:codes)
    ), stored AS (
        INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images, traceparent)
        SELECT :retry_id, :submitter, :priority, min(place), array_agg(uri ORDER BY place), count(*), :traceparent
        FROM failed GROUP BY place / :chunk_size
        RETURNING images
    )
    SELECT coalesce(sum(images), 0) FROM stored
""")


def retry_job(
    engine: Engine,
    job_id: uuid.UUID,
    *,
    codes: Sequence[ErrorCode] = FAILURES,
    name: str | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Submission:
    """Submit the images of an ended job that failed with one of these codes as a new job, in the same order.

    The new job names the old one as `retry_of` and has its submitter, priority and threshold, and its name unless
    another is given. One transaction, inside the database: memory does not grow with the job. Raises RetryError
    where there is no such job, it has not ended, or nothing in it failed so.
    """
    with trace("submit"), engine.begin() as connection:
        job = connection.execute(FIND_ENDED_JOB, {"id": job_id}).one_or_none()
        if job is None:
            raise RetryError(f"there is no job {job_id}")
        if not job.ended:
            raise RetryError(f"job {job_id} has not ended yet: wait for it, or cancel it")
        retry_id = connection.execute(INSERT_RETRY, {"id": job_id, "name": name}).scalar_one()
        parameters = {
            "id": job_id,
            "retry_id": retry_id,
            "submitter": job.submitter,
            "priority": job.priority,
            "codes": list(codes),
            "chunk_size": chunk_size,
            "traceparent": read_traceparent(),
        }
        total = int(connection.execute(COPY_FAILED, parameters).scalar_one())
        if total == 0:
            raise RetryError(f"no image of job {job_id} failed with one of the codes {', '.join(codes)}")
        connection.execute(KEEP_FAILED_BLOBS, parameters)
        connection.execute(COMPLETE_JOB, {"total": total, "id": retry_id, "channel": SUBMITTED})
        raise_totals(connection, count_one(Total.IMAGES_SUBMITTED, by=total))
        describe_span(job=retry_id, images=total)
    return Submission(retry_id, total, created=True)


# The jobs that retry one.
LIST_RETRIES = text("SELECT id FROM jobs WHERE retry_of = :id ORDER BY id")


def list_retries(engine: Engine, job_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the jobs that scanned failed images of this one again, oldest first."""
    with connect_to_read(engine) as connection:
        return list(connection.execute(LIST_RETRIES, {"id": job_id}).scalars())
