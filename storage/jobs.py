"""Jobs: reading, listing and cancelling."""

import uuid
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Engine, RowMapping, text

from starlight_vocabulary.job import Job
from starlight_vocabulary.words import ErrorCode, JobState, ListingState, Priority
from storage.database import connect_to_read
from storage.notifications import CANCELLED, FINISHED
from storage.totals import Total, count_errors, count_one, raise_totals
from storage.verdicts import LOCK_JOB

# Fields of a job that are not columns of `jobs`.
COMPUTED = {
    "finished": "clean + stego + error AS finished",
    "listing": "(SELECT listings.state FROM listings WHERE job_id = jobs.id) AS listing",
    "listing_error": "(SELECT listings.error FROM listings WHERE job_id = jobs.id) AS listing_error",
}
JOB_COLUMNS = ", ".join(COMPUTED.get(field.name, field.name) for field in fields(Job))


def read_job(row: RowMapping) -> Job:
    """Return the job of a row with `JOB_COLUMNS`."""
    listing = row["listing"] and ListingState.read(row["listing"])
    values: dict[str, Any] = {
        **row, "priority": Priority.read(row["priority"]), "state": JobState.read(row["state"]), "listing": listing
    }  # fmt: skip
    return Job(**values)


GET_JOB = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = :id")


def get_job(engine: Engine, job_id: uuid.UUID) -> Job | None:
    """Return the job, or None if it does not exist."""
    with connect_to_read(engine) as connection:
        row = connection.execute(GET_JOB, {"id": job_id}).mappings().one_or_none()
    return read_job(row) if row else None


# The number of verdicts of some jobs.
COUNT_FINISHED = text("SELECT id, clean + stego + error AS finished FROM jobs WHERE id = ANY(:ids)")


def count_finished(engine: Engine, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return the number of verdicts for each of these jobs; jobs that do not exist are left out."""
    with connect_to_read(engine) as connection:
        return {row.id: row.finished for row in connection.execute(COUNT_FINISHED, {"ids": list(job_ids)})}


# The condition of the index on open jobs.
IS_OPEN = "state IN ('pending', 'running')"
# The newest jobs: ids increase with time.
LIST_JOBS = f"SELECT {JOB_COLUMNS} FROM jobs WHERE {{conditions}} ORDER BY id {{order}} LIMIT :limit"


def list_jobs(
    engine: Engine,
    *,
    limit: int = 20,
    submitter: str | None = None,
    before: uuid.UUID | None = None,
    after: uuid.UUID | None = None,
    only_open: bool = False,
    state: JobState | None = None,
    sought: str | None = None,
) -> list[Job]:
    """Return the newest jobs, newest first; canaries only if their submitter is given.

    Optional filters: one submitter, older than a job (`before`), the next newer ones than a job (`after`), not ended,
    one state, `sought` as part of the name or as the id.
    """
    narrowed = {
        "submitter = :submitter": submitter,
        "NOT canary": submitter is None or None,
        "id < :before": before,
        "id > :after": after,
        IS_OPEN: only_open or None,
        "state = :state": state,
        "(strpos(lower(name), lower(:sought)) > 0 OR id::text = lower(:sought))": sought,
    }
    conditions = " AND ".join(condition for condition, value in narrowed.items() if value is not None) or "true"
    parameters = {
        "limit": limit, "submitter": submitter, "before": before, "after": after, "state": state, "sought": sought,
    }  # fmt: skip
    query = LIST_JOBS.format(conditions=conditions, order="DESC" if after is None else "ASC")
    with connect_to_read(engine) as connection:
        found = [read_job(row) for row in connection.execute(text(query), parameters).mappings()]
    return found if after is None else found[::-1]


# Whether a job has open chunks.
HAS_OPEN_CHUNKS = text("""
    SELECT EXISTS (SELECT FROM chunks WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running'))
""")

# Ends these chunks.
CANCEL_CHUNKS = text("""
    UPDATE chunks SET state = 'cancelled', lease_until = NULL
    WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running')
""")

# Ends the listing of its sources; its placeholder is a reference that did not count as an image.
CANCEL_LISTING = text("""
    UPDATE listings SET state = 'cancelled', error = NULL, holder = NULL, lease_until = NULL
    WHERE job_id = :id AND state IN ('waiting', 'running')
""")

# Stores verdicts for the references without one, and ends the job.
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
    """End the job: each reference without a verdict gets an `error` verdict with the code `cancelled`.

    Returns the number of these, or None if the job does not exist. Running chunks lose their claim.
    """
    with engine.begin() as connection:
        # Chunks are locked before the job, in the same order as workers lock them. This repeats until none is open: if
        # a chunk was split while we waited for its lock, the first pass does not see the new chunks.
        while connection.execute(HAS_OPEN_CHUNKS, {"id": job_id}).scalar_one():
            connection.execute(CANCEL_CHUNKS, {"id": job_id})
        uncounted = connection.execute(CANCEL_LISTING, {"id": job_id}).rowcount
        cancelled = connection.execute(CANCEL_JOB, {"id": job_id, "channel": FINISHED}).one_or_none()
        connection.execute(text(f"NOTIFY {CANCELLED}"))
        if cancelled is not None and not cancelled.canary:
            submitted = count_one(Total.IMAGES_SUBMITTED, by=uncounted)
            raise_totals(connection, submitted + count_errors(ErrorCode.CANCELLED, cancelled.written))
    return None if cancelled is None else int(cancelled.written)
