"""Requeueing dispatched or running chunks, and changing a job's priority, without losing or doubling images."""

import uuid

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.operations import Action, RequeueRequest
from starlight_vocabulary.words import Priority
from storage.notifications import CANCELLED, SUBMITTED
from storage.operations import OperationError, record_operation

# A running chunk gets a new attempt, so that its claim stores nothing; the message of a dispatched one finds nothing to
# do, or is followed by a second one. Losses are kept. The part of `worker` before the space is the worker's name.
SEND_BACK = """
    UPDATE chunks SET state = 'pending', worker = NULL, lease_until = NULL,
        attempt = attempt + CASE WHEN state = 'running' THEN 1 ELSE 0 END
    WHERE state IN ('dispatched', 'running') AND {which}
"""
SEND_BACK_ALL = text(SEND_BACK.format(which="true"))
SEND_BACK_JOB = text(SEND_BACK.format(which="job_id = :job_id"))
SEND_BACK_WORKER = text(SEND_BACK.format(which="state = 'running' AND split_part(worker, ' ', 1) = :worker"))


def requeue_chunks(engine: Engine, wanted: RequeueRequest, done_by: str) -> int:
    """Make dispatched or running chunks pending again; return their number.

    This counts as no loss. Workers that are scanning one of them store nothing of it, and stop within a second. Raises
    OperationError if both a job and a worker are given, if the job does not exist or has ended, or if the worker has
    claimed none and has not reported lately.
    """
    if wanted.job_id is not None and wanted.worker is not None:
        raise OperationError("requeueing has one subject: name a job or a worker, or nothing for all")
    statement = SEND_BACK_ALL
    if wanted.job_id is not None:
        statement = SEND_BACK_JOB
    elif wanted.worker is not None:
        statement = SEND_BACK_WORKER
    with engine.begin() as connection:
        if wanted.job_id is not None:
            _require_open(connection, wanted.job_id)
        chunks = connection.execute(statement, {"job_id": wanted.job_id, "worker": wanted.worker}).rowcount
        if not chunks and wanted.worker is not None:
            _require_known(connection, wanted.worker)
        if chunks:
            record_operation(connection, done_by, Action.REQUEUE, wanted, chunks)
            for channel in (SUBMITTED, CANCELLED):
                connection.execute(text(f"NOTIFY {channel}"))
    return chunks


# The state of a job.
READ_STATE = text("SELECT state FROM jobs WHERE id = :id")


def _require_open(connection: Connection, job_id: uuid.UUID) -> None:
    if connection.execute(READ_STATE, {"id": job_id}).scalar() not in ("pending", "running"):
        raise OperationError(f"there is no open job {job_id}")


# The workers that reported lately and have not ended.
LIST_KNOWN = text("SELECT name FROM workers ORDER BY name")


def _require_known(connection: Connection, worker: str) -> None:
    names = connection.execute(LIST_KNOWN).scalars().all()
    if worker not in names:
        raise OperationError(f"no worker {worker} is known; known workers: {', '.join(names) or 'none'}")


# Whether open chunks of a job have another priority.
HAS_OTHERS = text("""
    SELECT EXISTS (SELECT FROM chunks WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running')
        AND priority <> :priority)
""")

# Dispatched chunks become pending, because their messages are in the other queue.
MOVE_CHUNKS = text("""
    WITH found AS (
        SELECT id, state FROM chunks
        WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running') AND priority <> :priority FOR UPDATE
    ), moved AS (
        UPDATE chunks
        SET priority = :priority, state = CASE WHEN found.state = 'dispatched' THEN 'pending' ELSE found.state END
        FROM found WHERE chunks.id = found.id RETURNING found.state
    )
    SELECT count(*) FROM moved WHERE state = 'dispatched'
""")

# Sets the job's priority after that of its chunks; does nothing if it has ended or has this priority.
MOVE_JOB = text("""
    UPDATE jobs SET priority = :priority
    WHERE id = :id AND state IN ('pending', 'running') AND priority <> :priority RETURNING id
""")


def change_priority(engine: Engine, job_id: uuid.UUID, priority: Priority, done_by: str) -> None:
    """Dispatch the job's chunks with this priority from now on; running chunks finish.

    Raises OperationError if the job does not exist or has ended.
    """
    parameters = {"id": job_id, "priority": priority}
    with engine.begin() as connection:
        _require_open(connection, job_id)
        recalled = 0
        # Chunks are locked before the job, in the same order as workers lock them. This repeats until none is left: if
        # a chunk was split while we waited for its lock, the first pass does not see the new chunks.
        while connection.execute(HAS_OTHERS, parameters).scalar_one():
            recalled += int(connection.execute(MOVE_CHUNKS, parameters).scalar_one())
        if connection.execute(MOVE_JOB, parameters).scalar() is not None:
            record_operation(connection, done_by, Action.PRIORITY, f"job {job_id} to {priority}", recalled)
            connection.execute(text(f"NOTIFY {SUBMITTED}"))
