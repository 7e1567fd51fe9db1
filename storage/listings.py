"""Listings: the sources of a job, listed in the background into chunks of a few thousand references.

A placeholder reference, in a chunk that is never dispatched, stands for what is not listed yet. It keeps the job from
ending before its listing, for older programs too, and is cancelled like any other. If the listing fails, the
placeholder gets the error. Every transaction locks the placeholder's chunk first, then the listing, then the job, so
that adding references and cancelling the job are serialised.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from starlight_vocabulary.job import JobSources
from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.words import ErrorCode, Priority
from storage.buckets import Location, read_location
from storage.database import connect_to_read
from storage.notifications import FINISHED, SUBMITTED
from storage.submission import Reference, copy_chunks
from storage.totals import Total, count_errors, count_one, raise_totals
from storage.verdicts import LOCK_JOB
from storage.waiting import WaitingLimits, find_room

# The process that lists renews its lease several times.
LEASE_S = 60.0
# The maximum number of open listings per submitter.
MOST_OPEN = 100


class TooManyListingsError(Exception):
    """The submitter has too many open listings; the message says so."""


class ListingLostError(Exception):
    """The job was cancelled, or another process lists its sources."""


@dataclass(frozen=True, slots=True)
class ListingProgress:
    """How far sources are listed: completely before `source`, and in it up to the object `after` of a prefix.

    Of the next part, `done` references were stored; their digest in hex identifies them.
    """

    source: int = 0
    after: str | None = None
    done: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is to be listed: the submitter, the allowed buckets (None: any), and the position to continue from.

    `found` is the number of stored references; `attempts` counts the tries since the last of them.
    """

    job_id: uuid.UUID
    holder: uuid.UUID
    submitter: str
    sources: JobSources
    buckets: tuple[Location, ...] | None
    progress: ListingProgress
    found: int
    attempts: int


# Serialises counting the listings of a submitter.
LOCK_SUBMITTER = text("""
    SELECT pg_advisory_xact_lock(hashtextextended('listings ' || submitter, 0)) FROM jobs WHERE id = :id
""")
COUNT_OPEN = text("""
    SELECT count(*) FROM listings JOIN jobs ON jobs.id = job_id
    WHERE listings.state IN ('waiting', 'running') AND submitter = (SELECT submitter FROM jobs WHERE id = :id)
""")
# Holds the only chunk of a new job until its listing ends, and stores what is to be listed.
INSERT_LISTING = text("""
    WITH held AS (
        UPDATE chunks SET not_before = 'infinity' WHERE job_id = :id RETURNING id
    )
    INSERT INTO listings (job_id, chunk_id, sources, buckets)
    SELECT :id, id, :sources, CAST(:buckets AS text[]) FROM held
""").bindparams(bindparam("sources", type_=JSONB))


def insert_listing(
    connection: Connection, job_id: uuid.UUID, sources: JobSources, buckets: Sequence[Location] | None
) -> None:
    """Request a listing, in the transaction that submits its job with the placeholder as only reference.

    Raises TooManyListingsError.
    """
    connection.execute(LOCK_SUBMITTER, {"id": job_id})
    if connection.execute(COUNT_OPEN, {"id": job_id}).scalar_one() >= MOST_OPEN:
        raise TooManyListingsError(f"{MOST_OPEN} jobs of this key are being listed: wait until one of them is complete")
    names = None if buckets is None else [str(each) for each in buckets]
    connection.execute(INSERT_LISTING, {"id": job_id, "sources": to_json(sources), "buckets": names})


LISTING_COLUMNS = "job_id, holder, submitter, sources, buckets, progress, total - 1 AS found, attempts"

# The next listing that waits, or whose process has died.
CLAIM_LISTING = text(f"""
    UPDATE listings SET state = 'running', attempts = attempts + 1, holder = gen_random_uuid(),
        lease_until = now() + make_interval(secs => :lease_s)
    FROM jobs
    WHERE jobs.id = job_id AND job_id = (
        SELECT job_id FROM listings
        WHERE state = 'waiting' AND next_at <= now() OR state = 'running' AND lease_until < now()
        ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING {LISTING_COLUMNS}
""")
FIND_RUNNING = text(f"""
    SELECT {LISTING_COLUMNS}
    FROM listings JOIN jobs ON jobs.id = job_id
    WHERE job_id = :id AND holder = :holder AND listings.state = 'running'
""")


def claim_listing(engine: Engine) -> Listing | None:
    """Claim the listing that has waited longest, under a lease, and return it; None if none waits."""
    with engine.begin() as connection:
        row = connection.execute(CLAIM_LISTING, {"lease_s": LEASE_S}).one_or_none()
    return _read(row) if row else None


def find_running_listing(engine: Engine, job_id: uuid.UUID, holder: uuid.UUID) -> Listing | None:
    """Return the listing, or None if another process or nobody holds it."""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_RUNNING, {"id": job_id, "holder": holder}).one_or_none()
    return _read(row) if row else None


def _read(row: Any) -> Listing:  # noqa: ANN401 - a row of the columns
    buckets = None if row.buckets is None else tuple(map(read_location, row.buckets))
    progress = from_json(ListingProgress, row.progress or {})
    sources = from_json(JobSources, row.sources)
    return Listing(row.job_id, row.holder, row.submitter, sources, buckets, progress, row.found, row.attempts)


HOLDS = "job_id = :id AND holder = :holder AND state = 'running'"
RENEW = text(f"UPDATE listings SET lease_until = now() + make_interval(secs => :lease_s) WHERE {HOLDS} RETURNING 1")
# Without a reason it made progress, and waits for its next turn.
RELEASE = text(f"""
    UPDATE listings SET state = 'waiting', next_at = now() + make_interval(secs => :pause_s), error = :reason,
        attempts = CASE WHEN CAST(:counts AS bool) THEN attempts ELSE 0 END
    WHERE {HOLDS}
""")


def renew_listing(engine: Engine, listing: Listing) -> bool:
    """Extend the lease; return False if it is lost."""
    with engine.begin() as connection:
        return connection.execute(RENEW, {**_hold(listing), "lease_s": LEASE_S}).one_or_none() is not None


def release_listing(
    engine: Engine, listing: Listing, pause_s: float = 0.0, reason: str | None = None, *, counts: bool = False
) -> None:
    """Give the listing back for `pause_s` and show the `reason` meanwhile; the attempt may or may not count."""
    with engine.begin() as connection:
        values = {**_hold(listing), "pause_s": pause_s, "reason": reason, "counts": counts}
        connection.execute(RELEASE, values)


# The placeholder's chunk, while the listing is held and the job is open.
LOCK_SOURCE = text("""
    SELECT chunks.id, chunks.submitter, priority, first_ordinal
    FROM chunks JOIN listings ON chunks.id = chunk_id
    WHERE listings.job_id = :id AND holder = :holder AND listings.state = 'running' AND chunks.state = 'pending'
    FOR UPDATE OF chunks
""")
# Inserts the new ordinals before the placeholder.
MOVE_SOURCE = text("UPDATE chunks SET first_ordinal = first_ordinal + :count WHERE id = :chunk_id")
NOTE_PROGRESS = text(f"""
    UPDATE listings SET progress = :progress, attempts = 0, error = NULL WHERE {HOLDS}
""").bindparams(bindparam("progress", type_=JSONB))
COUNT_FOUND = text("UPDATE jobs SET total = total + :count WHERE id = :id RETURNING pg_notify(:channel, '')")


def append_references(
    engine: Engine,
    listing: Listing,
    references: Sequence[Reference],
    progress: ListingProgress,
    *,
    chunk_size: int,
    limits: WaitingLimits,
) -> None:
    """Store the references found, and the progress of the listing, in one transaction.

    Raises ListingLostError, and TooManyWaitingError; then nothing is stored.
    """
    with engine.begin() as connection:
        source = _lock_source(connection, listing)
        find_room(connection, source.submitter, limits).check(len(references))
        connection.execute(MOVE_SOURCE, {"chunk_id": source.id, "count": len(references)})
        priority = Priority.read(source.priority)
        copy_chunks(
            connection, listing.job_id, source.submitter, priority, references, chunk_size, source.first_ordinal
        )
        _require_one(connection.execute(NOTE_PROGRESS, {**_hold(listing), "progress": to_json(progress)}))
        connection.execute(COUNT_FOUND, {"id": listing.job_id, "count": len(references), "channel": SUBMITTED})
        raise_totals(connection, count_one(Total.IMAGES_SUBMITTED, by=len(references)))


# Ends a listing after its placeholder was deleted or got a verdict, and ends the job if nothing else waits.
END_LISTING = text(f"""
    UPDATE listings SET state = :state, error = :error, holder = NULL, lease_until = NULL WHERE {HOLDS}
""")
DELETE_SOURCE = text("DELETE FROM chunks WHERE id = :chunk_id")
END_JOB = """
    UPDATE jobs SET {counts},
        state = CASE WHEN clean + stego + error = total - 1 AND state <> 'cancelled' THEN 'done' ELSE state END,
        finished_at = CASE WHEN clean + stego + error = total - 1 THEN now() ELSE finished_at END
    WHERE id = :id RETURNING pg_notify(:channel, id::text)
"""
COUNT_NO_MORE = text(END_JOB.format(counts="total = total - 1"))
COUNT_FAILURE = text(END_JOB.format(counts="error = error + 1"))
END_SOURCE = text(f"""
    WITH ended AS (
        UPDATE chunks SET state = 'done', refs = ARRAY[CAST(:uri AS text)], not_before = NULL WHERE id = :chunk_id
        RETURNING job_id, first_ordinal
    ), locked AS (
        {LOCK_JOB.format(job="(SELECT job_id FROM ended)")}
    )
    INSERT INTO verdicts (job_id, landed, ordinal, uri, outcome, error_code, error_detail)
    SELECT locked.*, first_ordinal, :uri, 'error', :code, :error FROM locked, ended
""")


def finish_listing(engine: Engine, listing: Listing) -> None:
    """End the listing: everything was found. Raises ListingLostError."""
    with engine.begin() as connection:
        source = _lock_source(connection, listing)
        connection.execute(DELETE_SOURCE, {"chunk_id": source.id})
        _require_one(connection.execute(END_LISTING, {**_hold(listing), "state": "done", "error": None}))
        connection.execute(COUNT_NO_MORE, {"id": listing.job_id, "channel": FINISHED})


def fail_listing(engine: Engine, listing: Listing, uri: str, reason: str) -> None:
    """End the listing with an error for this source; images found before are scanned. Raises ListingLostError."""
    with engine.begin() as connection:
        source = _lock_source(connection, listing)
        code = ErrorCode.NOT_LISTED
        _require_one(connection.execute(END_LISTING, {**_hold(listing), "state": "failed", "error": reason}))
        connection.execute(END_SOURCE, {"chunk_id": source.id, "uri": uri, "code": code, "error": reason})
        connection.execute(COUNT_FAILURE, {"id": listing.job_id, "channel": FINISHED})
        raise_totals(connection, count_one(Total.IMAGES_SUBMITTED) + count_errors(code, 1))


def _lock_source(connection: Connection, listing: Listing) -> Any:  # noqa: ANN401 - a row
    row = connection.execute(LOCK_SOURCE, _hold(listing)).one_or_none()
    if row is None:
        raise ListingLostError
    return row


def _require_one(changed: CursorResult[Any]) -> None:
    """Raise ListingLostError if nothing was changed: another process took the listing since the chunk was locked."""
    if changed.rowcount != 1:
        raise ListingLostError


def _hold(listing: Listing) -> dict[str, Any]:
    return {"id": listing.job_id, "holder": listing.holder}
