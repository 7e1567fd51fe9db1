"""Chunks from the dispatcher's side: picked in fair shares, republished, and recovered after losses."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, Row, text

from starlight_vocabulary.words import ErrorCode, Priority
from storage.database import DISPATCH_LOCK, connect_to_read
from storage.notifications import DISPATCHED, FINISHED, SUBMITTED
from storage.totals import Total, count_errors, count_one, raise_totals
from storage.verdicts import LOCK_JOB


@dataclass(frozen=True, slots=True)
class DispatchedChunk:
    """A chunk whose id is to be published: its priority, job, number of images, and the trace of its submission.

    Chunks with the same `message_id` share a message; a chunk with None has its own.
    """

    chunk_id: uuid.UUID
    priority: Priority
    job_id: uuid.UUID
    images: int
    traceparent: str | None
    message_id: uuid.UUID | None = None


DISPATCHED_COLUMNS = """
    chunks.id, priority, job_id, coalesce(images, cardinality(refs)) AS images, traceparent, chunks.message_id
"""


def _read_chunk(row: Row[Any]) -> DispatchedChunk:
    priority = Priority.read(row.priority)
    return DispatchedChunk(row.id, priority, row.job_id, row.images, row.traceparent, row.message_id)


def group_by_message(chunks: Iterable[DispatchedChunk]) -> list[list[DispatchedChunk]]:
    """Return the chunks grouped by message, ordered by the first chunk of each."""
    messages: dict[uuid.UUID, list[DispatchedChunk]] = {}
    for chunk in chunks:
        messages.setdefault(chunk.message_id or chunk.chunk_id, []).append(chunk)
    return list(messages.values())


# Only one transaction picks at a time. If a server crash loses its commit, the chunks are picked again.
LOCK_DISPATCH = text(f"""
    SELECT pg_try_advisory_xact_lock({DISPATCH_LOCK}), set_config('synchronous_commit', 'off', true)
""")

# Chunks per submitter that a pick considers at least; with many submitters at most each one's share of the window.
SHARE = 16
# Lone chunks: their priority, the maximum per message, the bytes of image files above which a message gets no more, the
# number of a submitter's messages in flight per worker (the others wait until a worker takes them along), and the time
# after which such a message does not count any more, because its worker may have died.
LONE_PRIORITY: Final = Priority.INTERACTIVE
LONE_AT_ONCE = 16
LONE_BYTES = 1 << 20
LONE_MESSAGES = 1
LONE_PATIENCE_S = 2.0
# What may be a lone chunk; the claiming worker checks it (`storage.lone_chunks`). It is scanned quickly, and only its
# verdict is needed.
MAY_BE_LONE = """
    images = 1 AND first_ordinal = 0 AND losses = 0 AND tries = 0 AND traceparent IS NULL
    AND starts_with(refs[1], 'blob://')
"""

# Wakes workers without a free task thread, which scan interactive chunks in a separate thread.
NOTIFY_WORKERS = f"CASE WHEN priority = '{Priority.INTERACTIVE}' THEN pg_notify('{DISPATCHED}', priority) END"

# Picks pending chunks for the free part of the window, so that submitters have as equal shares in flight as possible.
# No submitter gets more than half of what is free. A submitter's lone chunks share messages, unless enough of them are
# in flight.
PICK_CHUNKS = text(f"""
    WITH in_flight AS (
        SELECT submitter, count(*) AS chunks, count(*) FILTER (WHERE state = 'dispatched') AS dispatched,
            count(DISTINCT message_id) FILTER (WHERE dispatched_at > now() - interval '{LONE_PATIENCE_S} s') AS messages
        FROM chunks WHERE state IN ('dispatched', 'running') AND priority = :priority GROUP BY submitter
    ), room AS (
        SELECT greatest(0, 2 * :window - coalesce(sum(dispatched), 0))::int AS chunks FROM in_flight
    ), submitters AS (
        SELECT DISTINCT submitter FROM jobs WHERE state IN ('pending', 'running') AND priority = :priority
            AND NOT EXISTS (
                SELECT FROM pauses WHERE pauses.job_id IS NULL
                    AND (pauses.priority IS NULL OR pauses.priority = jobs.priority)
                    AND (pauses.submitter IS NULL OR pauses.submitter = jobs.submitter)
            )
    ), candidates AS (
        SELECT waiting.id, submitter, may_be_lone,
            coalesce(in_flight.chunks, 0) + row_number() OVER (PARTITION BY submitter ORDER BY place) AS share
        FROM submitters LEFT JOIN in_flight USING (submitter) CROSS JOIN room, LATERAL (
            SELECT id, ({MAY_BE_LONE}) AS may_be_lone, row_number() OVER (ORDER BY job_id, first_ordinal) AS place
            FROM chunks
            WHERE state = 'pending' AND priority = :priority AND chunks.submitter = submitters.submitter
                AND (not_before IS NULL OR not_before <= now())
                AND job_id <> ALL (ARRAY(SELECT job_id FROM pauses WHERE job_id IS NOT NULL))
            ORDER BY job_id, first_ordinal
            LIMIT greatest(0, least(
                (room.chunks - coalesce(in_flight.dispatched, 0) + 1) / 2,
                greatest({SHARE}, 2 * room.chunks / (SELECT count(*) FROM submitters))
            ))
        ) AS waiting
        WHERE coalesce(messages, 0) < {LONE_MESSAGES} * :workers OR NOT may_be_lone
    ), picked AS (
        SELECT id, submitter, may_be_lone, row_number() OVER (ORDER BY share, submitter) AS place FROM candidates
        ORDER BY share, submitter LIMIT (SELECT chunks FROM room)
    ), numbered AS (
        SELECT *, row_number() OVER (PARTITION BY submitter, may_be_lone ORDER BY place) - 1 AS number FROM picked
    ), addressed AS (
        SELECT id, place, CASE WHEN may_be_lone THEN first_value(id) OVER (
            PARTITION BY submitter, may_be_lone, number / {LONE_AT_ONCE} ORDER BY place
        ) END AS message_id
        FROM numbered
    ), marked AS (
        UPDATE chunks SET state = 'dispatched', dispatched_at = now(), message_id = addressed.message_id
        FROM addressed WHERE chunks.id = addressed.id AND chunks.state = 'pending'
        RETURNING {DISPATCHED_COLUMNS}
    )
    SELECT marked.*, {NOTIFY_WORKERS} FROM marked JOIN addressed USING (id) ORDER BY place
""")


def pick_chunks(engine: Engine, priority: Priority, window: int, workers: int = 1) -> list[DispatchedChunk]:
    """Mark pending chunks as dispatched, and return them, up to `window` per submitter.

    All submitters together have at most twice as many, in equal shares, so that a new one finds some of it free. Chunks
    that are put off or paused are left out. Older jobs of a submitter go first. One dispatcher picks at a time; others
    get an empty list. Lone chunks of a submitter wait while it has as many messages of them in flight as `workers`.
    """
    with engine.begin() as connection:
        if not connection.execute(LOCK_DISPATCH).scalar_one():
            return []
        parameters = {"priority": priority, "window": window, "workers": workers}
        picked = connection.execute(PICK_CHUNKS, parameters).all()
        raise_totals(connection, count_one(Total.CHUNKS_DISPATCHED, priority.value, len(picked)))
    return [_read_chunk(row) for row in picked]


# Priorities with undispatched chunks, for whatever reason.
LIST_WAITING_PRIORITIES = text("""
    SELECT listed.priority FROM unnest(CAST(:priorities AS text[])) AS listed (priority)
    WHERE EXISTS (SELECT FROM chunks WHERE state = 'pending' AND chunks.priority = listed.priority)
""")


def list_waiting_priorities(engine: Engine) -> list[Priority]:
    """Return the priorities with undispatched chunks."""
    with connect_to_read(engine) as connection:
        waiting = set(connection.execute(LIST_WAITING_PRIORITIES, {"priorities": list(Priority)}).scalars())
    return [priority for priority in Priority if priority in waiting]


# The number of messages of dispatched and of running chunks.
COUNT_EXPECTED_MESSAGES = text("""
    SELECT count(DISTINCT coalesce(message_id, id)) AS messages,
        count(DISTINCT coalesce(message_id, id)) FILTER (WHERE state = 'running') AS delivered
    FROM chunks WHERE state IN ('dispatched', 'running')
""")


def count_expected_messages(engine: Engine, *, counts_delivered: bool = True) -> int:
    """Return the number of messages that the broker should report: those of all dispatched or running chunks.

    If it does not report delivered messages (`counts_delivered`), those of running chunks are subtracted twice: a
    worker that scans a chunk may hold the message of another, which it has not claimed yet.
    """
    with connect_to_read(engine) as connection:
        counts = connection.execute(COUNT_EXPECTED_MESSAGES).one()
    return int(counts.messages if counts_delivered else counts.messages - 2 * counts.delivered)


# Chunks whose message was not taken for long; from now on each has its own message.
REDATE_UNCLAIMED = text(f"""
    UPDATE chunks SET dispatched_at = now(), message_id = NULL
    WHERE state = 'dispatched' AND dispatched_at < now() - make_interval(secs => :age)
    RETURNING {DISPATCHED_COLUMNS}
""")


def redate_unclaimed(engine: Engine, older_than_s: float) -> list[DispatchedChunk]:
    """Return chunks that were dispatched and not claimed for so long, and restart that time."""
    with engine.begin() as connection:
        rows = connection.execute(REDATE_UNCLAIMED, {"age": older_than_s}).all()
        raise_totals(connection, count_one(Total.CHUNKS_REPUBLISHED, by=len(rows)))
    return [_read_chunk(row) for row in rows]


@dataclass(frozen=True, slots=True)
class LostChunk:
    """A chunk whose lease ran out, its job, and the number of its losses so far."""

    chunk_id: uuid.UUID
    job_id: uuid.UUID
    losses: int


# A chunk whose lease ran out, although PostgreSQL was available long enough to renew it.
FIND_LOST_CHUNK = text("""
    UPDATE chunks SET state = 'pending', losses = losses + 1, worker = NULL, lease_until = NULL
    WHERE id = (SELECT id FROM chunks WHERE state = 'running' AND lease_until < now()
                AND pg_postmaster_start_time() + make_interval(secs => :lease_s) < now()
                LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, job_id, losses, cardinality(refs) AS images
""")

# The new chunks start with one loss: suspects are scanned alone in their process. Those with a verdict have ended.
SPLIT_CHUNK = text("""
    WITH whole AS (
        DELETE FROM chunks WHERE id = :id RETURNING *
    )
    INSERT INTO chunks (
        job_id, submitter, priority, first_ordinal, refs, versions, images, traceparent,
        attempt, losses, tries, state
    )
    SELECT whole.job_id, submitter, priority, first_ordinal + position - 1, ARRAY[listed.uri],
        CASE WHEN listed.version IS NOT NULL THEN ARRAY[listed.version] END, 1, traceparent,
        attempt, 1, tries, CASE WHEN verdicts.ordinal IS NULL THEN 'pending' ELSE 'done' END
    FROM whole CROSS JOIN unnest(refs, versions) WITH ORDINALITY AS listed (uri, version, position)
        LEFT JOIN verdicts ON verdicts.job_id = whole.job_id AND verdicts.ordinal = first_ordinal + position - 1
""")

# Stores the verdict of a lone image that was lost too often, and ends its chunk.
CONVICT_IMAGE = text(f"""
    WITH ended AS (
        UPDATE chunks SET state = 'done' WHERE id = :id RETURNING job_id, first_ordinal, refs
    ), locked AS (
        {LOCK_JOB.format(job="(SELECT job_id FROM ended)")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, ordinal, uri, outcome, error_code, error_detail)
        SELECT locked.*, first_ordinal, refs[1], 'error', 'worker_crash',
            format('its scan ended the worker, or failed, again and again (%s losses)', CAST(:losses AS int))
        FROM locked, ended
        ON CONFLICT (job_id, ordinal) DO NOTHING RETURNING job_id
    )
    UPDATE jobs SET error = error + 1,
        state = CASE WHEN clean + stego + error + 1 = total AND state <> 'cancelled' THEN 'done' ELSE state END,
        finished_at = CASE WHEN clean + stego + error + 1 = total THEN now() ELSE finished_at END
    FROM written WHERE id = written.job_id RETURNING canary, pg_notify(:channel, id::text)
""")


def recover_lost_chunk(engine: Engine, max_losses: int, lease_s: float) -> LostChunk | None:
    """Handle one chunk whose lease ran out, and return it; None if there is none.

    After a start of PostgreSQL, leases last one lease longer, because nobody could renew them meanwhile.

    After its first loss, a chunk is published again. After the second, it is replaced by chunks of one image, each with
    one loss, so that the culprit ends up alone. A lone image with `max_losses` gets an `error` verdict with the code
    `worker_crash`.
    """
    with engine.begin() as connection:
        lost = connection.execute(FIND_LOST_CHUNK, {"lease_s": lease_s}).one_or_none()
        if lost is None:
            return None
        counts = count_one(Total.CHUNKS_LOST)
        if lost.images > 1 and lost.losses >= 2:
            connection.execute(SPLIT_CHUNK, {"id": lost.id})
            counts += count_one(Total.CHUNKS_SPLIT)
        elif lost.images == 1 and lost.losses >= max_losses:
            convicted = {"id": lost.id, "losses": lost.losses, "channel": FINISHED}
            job = connection.execute(CONVICT_IMAGE, convicted).one_or_none()
            if job is not None and not job.canary:
                counts += count_one(Total.IMAGES_CONVICTED) + count_errors(ErrorCode.WORKER_CRASH, 1)
        connection.execute(text(f"NOTIFY {SUBMITTED}"))
        raise_totals(connection, counts)
    return LostChunk(lost.id, lost.job_id, lost.losses)
