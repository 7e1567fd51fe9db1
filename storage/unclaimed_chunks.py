"""Chunks that nobody has claimed yet, from the worker's side: looked at, left to others, or put off."""

import uuid
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Engine, text

from starlight_vocabulary.words import Priority
from storage.database import connect_to_read
from storage.dispatch import LONE_AT_ONCE
from storage.draining import IS_DRAINING
from storage.pauses import IS_PAUSED


@dataclass(frozen=True, slots=True)
class WaitingChunk:
    """An unclaimed chunk: the number of its losses, its submitter and its priority.

    It must not be claimed if `is_held`: it is paused, or the worker is draining.
    """

    losses: int
    submitter: str
    priority: Priority
    is_held: bool


IS_HELD = f"({IS_PAUSED} OR {IS_DRAINING.format(worker='CAST(:worker AS text)')})"

# An unclaimed chunk.
FIND_WAITING = text(f"""
    SELECT losses, submitter, priority, {IS_HELD} AS is_held FROM chunks
    WHERE id = :id AND state IN ('pending', 'dispatched')
""")


def find_waiting_chunk(engine: Engine, chunk_id: uuid.UUID, worker: str) -> WaitingChunk | None:
    """Return the chunk as far as this worker must know it before claiming, None if it cannot be claimed."""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_WAITING, {"id": chunk_id, "worker": worker}).one_or_none()
    return WaitingChunk(row.losses, row.submitter, Priority.read(row.priority), row.is_held) if row else None


# A chunk whose message arrived while it was held back, and so has no message any more.
LEAVE_CHUNK = text(f"UPDATE chunks SET state = 'pending' WHERE id = :id AND state = 'dispatched' AND {IS_HELD}")


def leave_held_chunk(engine: Engine, chunk_id: uuid.UUID, worker: str) -> None:
    """Have a held chunk dispatched again: to other workers if this one is draining, after the pause if it is paused."""
    with engine.begin() as connection:
        connection.execute(LEAVE_CHUNK, {"id": chunk_id, "worker": worker})


# Whether a submitter with fewer running chunks has dispatched ones. Reads only chunks in flight: dozens per worker.
IS_AHEAD = text("""
    WITH submitters AS (
        SELECT submitter, count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'dispatched') AS dispatched
        FROM chunks WHERE state IN ('dispatched', 'running') AND priority = :priority GROUP BY submitter
    )
    SELECT EXISTS (
        SELECT FROM submitters WHERE dispatched > 0 AND submitter <> :submitter
            AND running < (SELECT running FROM submitters WHERE submitter = :submitter)
    )
""")


def is_ahead(engine: Engine, submitter: str, priority: Priority) -> bool:
    """Whether more chunks of this submitter run than of another submitter with waiting ones of this priority."""
    with connect_to_read(engine) as connection:
        return bool(connection.execute(IS_AHEAD, {"submitter": submitter, "priority": priority}).scalar_one())


# Chunks whose message is in Redis or was just taken from it; without lost ones, which are scanned alone.
LIST_DISPATCHED = text(f"""
    SELECT id AS chunk_id, coalesce(message_id, id) AS message_id FROM chunks
    WHERE state = 'dispatched' AND priority = :priority AND losses = 0 ORDER BY dispatched_at LIMIT {LONE_AT_ONCE}
""")


class Dispatched(NamedTuple):
    """A dispatched chunk and the id of its message."""

    chunk_id: uuid.UUID
    message_id: uuid.UUID


def list_dispatched_chunks(engine: Engine, priority: Priority) -> list[Dispatched]:
    """Return some dispatched chunks of this priority that were never lost, oldest first."""
    with connect_to_read(engine) as connection:
        return [Dispatched(*row) for row in connection.execute(LIST_DISPATCHED, {"priority": priority})]


# Puts a waiting chunk off.
POSTPONE_CHUNK = text("""
    UPDATE chunks SET state = 'pending', not_before = now() + make_interval(secs => :pause_s)
    WHERE id = :id AND state = 'dispatched'
""")


def postpone_chunk(engine: Engine, chunk_id: uuid.UUID, pause_s: float) -> None:
    """Have an unclaimed chunk dispatched again, after so many seconds."""
    with engine.begin() as connection:
        connection.execute(POSTPONE_CHUNK, {"id": chunk_id, "pause_s": pause_s})
