"""Pauses: hold back the chunks of a priority, a submitter or a job, or all of them, until they are resumed.

A pause is a row. Held chunks are neither dispatched nor claimed; running chunks finish.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, RowMapping, text

from starlight_vocabulary.operations import Action, PauseReport, PauseSubject
from starlight_vocabulary.words import Priority
from storage.database import DISPATCH_LOCK, connect_to_read
from storage.notifications import SUBMITTED
from storage.operations import OperationError, record_operation

# Whether a pause holds back the row of `chunks`.
IS_PAUSED = """EXISTS (
        SELECT FROM pauses WHERE (pauses.priority IS NULL OR pauses.priority = chunks.priority)
            AND (pauses.submitter IS NULL OR pauses.submitter = chunks.submitter)
            AND (pauses.job_id IS NULL OR pauses.job_id = chunks.job_id)
    )"""

PAUSE_COLUMNS = "id, priority, submitter, job_id, paused_by, paused_at"

# Excludes picking until the pause is stored: chunks picked before have their new state by then.
AWAIT_PICKING = text(f"SELECT pg_advisory_xact_lock({DISPATCH_LOCK})")

# Whether a job is open.
IS_OPEN = text("SELECT EXISTS (SELECT FROM jobs WHERE id = :id AND state IN ('pending', 'running'))")

# Inserts a pause, unless it exists.
INSERT_PAUSE = text(f"""
    INSERT INTO pauses (priority, submitter, job_id, paused_by)
    VALUES (CAST(:priority AS text), CAST(:submitter AS text), CAST(:job_id AS uuid), :paused_by)
    ON CONFLICT DO NOTHING RETURNING {PAUSE_COLUMNS}
""")

# The pause of this subject.
FIND_PAUSE = text(f"""
    SELECT {PAUSE_COLUMNS} FROM pauses WHERE priority IS NOT DISTINCT FROM CAST(:priority AS text)
        AND submitter IS NOT DISTINCT FROM CAST(:submitter AS text)
        AND job_id IS NOT DISTINCT FROM CAST(:job_id AS uuid)
""")

# Dispatched chunks without a claim become pending: a worker that takes their message finds that it cannot claim them.
RECALL_DISPATCHED = text(f"UPDATE chunks SET state = 'pending' WHERE state = 'dispatched' AND {IS_PAUSED}")


def pause_chunks(engine: Engine, subject: PauseSubject, paused_by: str) -> PauseReport:
    """Pause the subject's unclaimed and future chunks; return the pause.

    If it is already paused, returns the existing pause. Raises OperationError for more than one subject, and
    for a job that is not open.
    """
    parameters = _check(subject)
    with engine.begin() as connection:
        if subject.job_id is not None and not connection.execute(IS_OPEN, {"id": subject.job_id}).scalar_one():
            raise OperationError(f"there is no open job {subject.job_id}")
        connection.execute(AWAIT_PICKING)
        row = connection.execute(INSERT_PAUSE, {**parameters, "paused_by": paused_by}).mappings().one_or_none()
        if row is None:
            return _read(connection.execute(FIND_PAUSE, parameters).mappings().one())
        recalled = connection.execute(RECALL_DISPATCHED).rowcount
        record_operation(connection, paused_by, Action.PAUSE, subject, recalled)
        return _read(row)


# Deletes a pause.
DELETE_PAUSE = text(f"DELETE FROM pauses WHERE id = :id RETURNING {PAUSE_COLUMNS}")


def resume_chunks(engine: Engine, subject: PauseSubject, resumed_by: str) -> None:
    """Have the subject's chunks dispatched again; raises OperationError if this subject is not paused."""
    with connect_to_read(engine) as connection:
        pause_id = connection.execute(FIND_PAUSE, _check(subject)).scalar()
    if pause_id is None or end_pause(engine, pause_id, resumed_by) is None:
        paused = ", ".join(str(pause.subject) for pause in list_pauses(engine)) or "nothing"
        raise OperationError(f"{subject} is not paused; paused: {paused}")


def end_pause(engine: Engine, pause_id: int, resumed_by: str) -> PauseReport | None:
    """End the pause with this id and return it; None if it does not exist."""
    with engine.begin() as connection:
        row = connection.execute(DELETE_PAUSE, {"id": pause_id}).mappings().one_or_none()
        if row is None:
            return None
        ended = _read(row)
        record_operation(connection, resumed_by, Action.RESUME, ended.subject)
        connection.execute(text(f"NOTIFY {SUBMITTED}"))
    return ended


# All pauses except those of ended jobs.
LIST_PAUSES = text(f"""
    SELECT {PAUSE_COLUMNS} FROM pauses
    WHERE job_id IS NULL OR EXISTS (SELECT FROM jobs WHERE id = job_id AND state IN ('pending', 'running'))
    ORDER BY id
""")


def list_pauses(engine: Engine) -> list[PauseReport]:
    """Return all pauses, oldest first."""
    with connect_to_read(engine) as connection:
        return [_read(row) for row in connection.execute(LIST_PAUSES).mappings()]


# Those of these jobs that have a pause of their own.
LIST_PAUSED_JOBS = text("SELECT job_id FROM pauses WHERE job_id = ANY(:job_ids)")


def list_paused_jobs(engine: Engine, job_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of these jobs have a pause of their own; pauses of priorities and submitters do not count."""
    with connect_to_read(engine) as connection:
        return set(connection.execute(LIST_PAUSED_JOBS, {"job_ids": list(job_ids)}).scalars())


def _check(subject: PauseSubject) -> dict[str, object]:
    named: dict[str, object] = {"priority": subject.priority, "submitter": subject.submitter, "job_id": subject.job_id}
    if sum(value is not None for value in named.values()) > 1:
        raise OperationError("a pause has one subject: name a priority, a submitter or a job, or nothing for all")
    return named


def _read(row: RowMapping) -> PauseReport:
    priority = row["priority"]
    return PauseReport(**{**row, "priority": None if priority is None else Priority.read(priority)})
