"""Failed images: counted by error code, and retried as a new job."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from starlight_vocabulary.words import FAILURES, ErrorCode, JobState
from storage.database import connect_to_read
from storage.resubmission import resubmit_images
from storage.settings import CHUNK_SIZE
from storage.submission import Submission
from storage.traces import describe_span, trace
from storage.verdict_search import VerdictFilter


class RetryError(ValueError):
    """A job that cannot be retried; the message says why."""


# Failed images by code, most frequent first.
COUNT_FAILURES = """
    SELECT error_code, count(*) AS images FROM verdicts WHERE outcome = 'error' AND {conditions}
    GROUP BY error_code ORDER BY count(*) DESC, error_code
"""


def count_failures(engine: Engine, wanted: VerdictFilter) -> dict[ErrorCode, int]:
    """Return the number of failed images by error code, most frequent first."""
    conditions, parameters = wanted.conditions()
    query = text(COUNT_FAILURES.format(conditions=conditions))
    with connect_to_read(engine) as connection:
        return {ErrorCode.read(row.error_code): row.images for row in connection.execute(query, parameters)}


@dataclass(frozen=True, slots=True)
class RecentFailure:
    """The number of recent failures with a code, the number of jobs they are in, and the latest of them."""

    code: ErrorCode
    images: int
    jobs: int
    job_id: uuid.UUID
    ordinal: int
    uri: str
    detail: str | None


# The latest failures of a day with each code: by code, so that images of a cancelled job do not crowd out others.
LIST_RECENT_FAILURES = text("""
    WITH recent AS MATERIALIZED (
        SELECT found.* FROM unnest(CAST(:codes AS text[])) AS code CROSS JOIN LATERAL (
            SELECT error_code, job_id, ordinal, uri, error_detail, scanned_at FROM verdicts
            WHERE error_code = code AND scanned_at > now() - interval '24 hours'
            ORDER BY scanned_at DESC LIMIT :most
        ) AS found
    ), counted AS (
        SELECT error_code, count(*) AS images, count(DISTINCT job_id) AS jobs FROM recent GROUP BY error_code
    )
    SELECT DISTINCT ON (error_code) error_code, images, jobs, job_id, ordinal, uri, error_detail
    FROM recent JOIN counted USING (error_code) ORDER BY error_code, scanned_at DESC
""")


def list_recent_failures(engine: Engine, most: int) -> list[RecentFailure]:
    """Return the last day's failures by code, most frequent first, counting at most so many of the latest of each."""
    codes = [code for code in ErrorCode if code is not ErrorCode.CANCELLED]
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_RECENT_FAILURES, {"codes": codes, "most": most}).all()
    found = [RecentFailure(ErrorCode.read(row.error_code), *row[1:]) for row in rows]
    return sorted(found, key=lambda each: -each.images)


# Whether a job that may be retried has ended, and how.
HAS_ENDED = text("SELECT clean + stego + error = total AS has_ended, state FROM jobs WHERE id = :id")
HAS_FAILED = "outcome = 'error' AND error_code = ANY(:codes)"


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
    another is given. It is one transaction inside the database, so memory does not grow with the job. Raises RetryError
    if the job does not exist, has not ended, or has no such images.
    """
    with trace("submit"), engine.begin() as connection:
        job = connection.execute(HAS_ENDED, {"id": job_id}).one_or_none()
        if job is None:
            raise RetryError(f"there is no job {job_id}")
        if not job.has_ended:
            raise RetryError(f"job {job_id} has not ended yet: wait for it, or cancel it")
        made = resubmit_images(
            connection, job_id, HAS_FAILED, {"codes": list(codes)}, is_rescan=False, keep_gone=True, name=name,
            priority=None, idempotency_key=None, chunk_size=chunk_size,
        )  # fmt: skip
        if made is None or not made.images:
            wanted = f" with {' or '.join(codes)}"
            if set(codes) == set(FAILURES):
                is_cancelled = job.state == JobState.CANCELLED
                wanted = "; images that were cancelled have the code `cancelled`" if is_cancelled else ""
            raise RetryError(f"no image of job {job_id} failed{wanted}")
        describe_span(job=made.job_id, images=made.images)
    return Submission(made.job_id, made.images, created=True)


# The retries of a job.
LIST_RETRIES = text("SELECT id FROM jobs WHERE retry_of = :id ORDER BY id")


def list_retries(engine: Engine, job_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the jobs that retry failed images of this one, oldest first."""
    with connect_to_read(engine) as connection:
        return list(connection.execute(LIST_RETRIES, {"id": job_id}).scalars())
