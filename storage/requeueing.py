"""Sending chunks back that are dispatched or running, and giving a job another priority: none is lost or doubled."""

import uuid

from sqlalchemy import Engine, text

from starlight_vocabulary.operations import Action, RequeueRequest
from starlight_vocabulary.words import Priority
from storage.database import CANCELLED, SUBMITTED
from storage.operations import OperationError, record_operation

# A running chunk gets a new attempt, so that its claim stores nothing; a dispatched one leaves a message that finds
# nothing to do, or is the first of two. Losses stay what they are. Of a chunk's worker, the name stands before
# the space.
SEND_BACK = """
    UPDATE chunks SET state = 'pending', worker = NULL, lease_until = NULL,
        attempt = attempt + CASE WHEN state = 'running' THEN 1 ELSE 0 END
    WHERE state IN ('dispatched', 'running') AND {which}
"""
SEND_BACK_ALL = text(SEND_BACK.format(which="true"))
SEND_BACK_JOB = text(SEND_BACK.format(which="job_id = :job_id"))
SEND_BACK_WORKER = text(SEND_BACK.format(which="state = 'running' AND split_part(worker, ' ', 1) = :worker"))


def requeue_chunks(engine: Engine, wanted: RequeueRequest, done_by: str) -> int:
    """Make chunks pending again that are dispatched or running; return how many.

    Nothing counts as lost. Workers that scan one of them store nothing of it, and leave it within a second. Raises
    OperationError where both a job and a worker are named.
    """
    if wanted.job_id is not None and wanted.worker is not None:
        raise OperationError("chunks of one job or of one worker go back: name one of them, or none for all")
    statement = SEND_BACK_ALL
    if wanted.job_id is not None:
        statement = SEND_BACK_JOB
    elif wanted.worker is not None:
        statement = SEND_BACK_WORKER
    with engine.begin() as connection:
        chunks = connection.execute(statement, {"job_id": wanted.job_id, "worker": wanted.worker}).rowcount
        if chunks:
            record_operation(connection, done_by, Action.REQUEUE, wanted, chunks)
            for channel in (SUBMITTED, CANCELLED):
                connection.execute(text(f"NOTIFY {channel}"))
    return chunks


# Whether open chunks of a job have another priority than this.
HAS_OTHERS = text("""
    SELECT EXISTS (SELECT FROM chunks WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running')
        AND priority <> :priority)
""")

# Those that are dispatched go back: their messages are in the other queue.
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

# The job's priority, which its chunks have by then; nothing where it has ended, or has this priority already.
MOVE_JOB = text("""
    UPDATE jobs SET priority = :priority
    WHERE id = :id AND state IN ('pending', 'running') AND priority <> :priority RETURNING id
""")

# Where a job stands.
READ_STATE = text("SELECT state FROM jobs WHERE id = :id")


def change_priority(engine: Engine, job_id: uuid.UUID, priority: Priority, done_by: str) -> None:
    """Have the job's chunks dispatched with this priority from now on; those that run finish.

    Raises OperationError where there is no such job, or it has ended.
    """
    parameters = {"id": job_id, "priority": priority}
    with engine.begin() as connection:
        state = connection.execute(READ_STATE, {"id": job_id}).scalar()
        if state not in ("pending", "running"):
            raise OperationError(f"there is no job {job_id} that waits or runs")
        recalled = 0
        # Chunks before the job, the order in which workers lock them too. Again until none is left: a chunk that was
        # split while we waited for its lock has pieces that the first look did not see.
        while connection.execute(HAS_OTHERS, parameters).scalar_one():
            recalled += int(connection.execute(MOVE_CHUNKS, parameters).scalar_one())
        if connection.execute(MOVE_JOB, parameters).scalar() is not None:
            record_operation(connection, done_by, Action.PRIORITY, f"job {job_id} to {priority}", recalled)
            connection.execute(text(f"NOTIFY {SUBMITTED}"))
