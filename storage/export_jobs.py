"""Exports requested by API keys: queued, made under a lease by one process, and stored for a while."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from starlight_vocabulary.exports import ExportState
from storage.database import connect_to_read

# The process that makes an export renews its lease several times. After so many lost leases the export has failed.
LEASE_S = 60.0
ATTEMPTS = 3
LISTED = 100


class TooManyExportsError(Exception):
    """The key has too many exports; the message says so. `ended_at` is when the first of them ended, if one has."""

    def __init__(self, message: str, ended_at: datetime | None) -> None:
        super().__init__(message)
        self.ended_at = ended_at


@dataclass(frozen=True, slots=True)
class ExportJob:
    """An export: the key that asked for it, the submitter of its verdicts (None: everybody's), and its request."""

    id: uuid.UUID
    asked_by: str
    submitter: str | None
    request: dict[str, Any]
    state: ExportState
    attempts: int
    rows: int
    size_bytes: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


COLUMNS = "id, asked_by, submitter, request, state, attempts, rows, size_bytes, error, created_at, finished_at"

# Serialises counting the exports of a key.
LOCK_KEY = text("SELECT pg_advisory_xact_lock(hashtextextended('exports ' || :asked_by, 0))")
COUNT_EXPORTS = text("""
    SELECT count(*), min(finished_at) FROM exports WHERE asked_by = :asked_by AND state <> 'deleted'
""")
INSERT_EXPORT = text(f"""
    INSERT INTO exports (asked_by, submitter, request) VALUES (:asked_by, :submitter, :request) RETURNING {COLUMNS}
""").bindparams(bindparam("request", type_=JSONB))


def create_export(
    engine: Engine, asked_by: str, submitter: str | None, request: dict[str, Any], *, limit: int
) -> ExportJob:
    """Queue an export; raises TooManyExportsError if its key already has `limit`."""
    with engine.begin() as connection:
        connection.execute(LOCK_KEY, {"asked_by": asked_by})
        there, ended_at = connection.execute(COUNT_EXPORTS, {"asked_by": asked_by}).one()
        if there >= limit:
            told = f"this key has {limit} exports: delete one, or wait until one expires"
            raise TooManyExportsError(told, ended_at)
        values = {"asked_by": asked_by, "submitter": submitter, "request": request}
        return _read(connection.execute(INSERT_EXPORT, values).mappings().one())


# What a key may see: its own exports; those of everybody's verdicts only while it may see these.
MAY_SEE = """
    state <> 'deleted' AND (CAST(:everybody AS bool) OR asked_by = :asked_by AND submitter = :asked_by)
"""
LIST_EXPORTS = text(f"SELECT {COLUMNS} FROM exports WHERE {MAY_SEE} ORDER BY id DESC LIMIT :limit")
GET_EXPORT = text(f"SELECT {COLUMNS} FROM exports WHERE id = :id AND {MAY_SEE}")


def list_exports(engine: Engine, asked_by: str, *, everybody: bool) -> list[ExportJob]:
    """Return the newest exports of a key, or everybody's if it may see them."""
    with connect_to_read(engine) as connection:
        values = {"asked_by": asked_by, "everybody": everybody, "limit": LISTED}
        return [_read(row) for row in connection.execute(LIST_EXPORTS, values).mappings()]


def get_export(engine: Engine, export_id: uuid.UUID, asked_by: str, *, everybody: bool) -> ExportJob | None:
    """Return the export, or None if there is none that this key may see."""
    with connect_to_read(engine) as connection:
        values = {"id": export_id, "asked_by": asked_by, "everybody": everybody}
        row = connection.execute(GET_EXPORT, values).mappings().one_or_none()
    return _read(row) if row else None


# Marks as running the next export that is queued or whose process has died.
CLAIM_EXPORT = text(f"""
    UPDATE exports SET state = 'running', attempts = attempts + 1, lease_until = now() + make_interval(secs => :lease_s)
    WHERE id = (
        SELECT id FROM exports WHERE state = 'pending' OR state = 'running' AND lease_until < now()
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING {COLUMNS}
""")


def claim_export(engine: Engine) -> ExportJob | None:
    """Claim the next export under a lease, and return it; None if there is none."""
    with engine.begin() as connection:
        row = connection.execute(CLAIM_EXPORT, {"lease_s": LEASE_S}).mappings().one_or_none()
    return _read(row) if row else None


HOLDS = "id = :id AND attempts = :attempts AND state = 'running'"
RENEW = text(f"UPDATE exports SET lease_until = now() + make_interval(secs => :lease_s) WHERE {HOLDS} RETURNING id")
NOTE_PROGRESS = text(f"UPDATE exports SET rows = :rows, size_bytes = :size_bytes WHERE {HOLDS} RETURNING id")
RELEASE = text(f"""
    UPDATE exports SET state = 'pending', attempts = attempts - 1, lease_until = NULL WHERE {HOLDS}
""")
FIND_RUNNING = text(f"SELECT {COLUMNS} FROM exports WHERE {HOLDS}")
FINISH = text(f"""
    UPDATE exports SET state = :state, error = :error, lease_until = NULL, finished_at = now() WHERE {HOLDS}
""")


def renew_export(engine: Engine, export: ExportJob) -> bool:
    """Extend the lease; return False if it is lost: the export was deleted, or another process makes it."""
    with engine.begin() as connection:
        return connection.execute(RENEW, {**_hold(export), "lease_s": LEASE_S}).one_or_none() is not None


def note_progress(engine: Engine, export: ExportJob, rows: int, size_bytes: int) -> bool:
    """Store the export's progress; return False if the lease is lost."""
    with engine.begin() as connection:
        values = {**_hold(export), "rows": rows, "size_bytes": size_bytes}
        return connection.execute(NOTE_PROGRESS, values).one_or_none() is not None


def release_export(engine: Engine, export: ExportJob) -> None:
    """Give the export back, as if it had not been claimed."""
    with engine.begin() as connection:
        connection.execute(RELEASE, _hold(export))


def find_running_export(engine: Engine, export_id: uuid.UUID, attempts: int) -> ExportJob | None:
    """Return the export, or None if this is not its latest attempt, or it is not running."""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_RUNNING, {"id": export_id, "attempts": attempts}).mappings().one_or_none()
    return _read(row) if row else None


def finish_export(engine: Engine, export: ExportJob, error: str | None = None) -> None:
    """End the export: done, or failed with this reason."""
    state = ExportState.FAILED if error else ExportState.DONE
    with engine.begin() as connection:
        connection.execute(FINISH, {**_hold(export), "state": state, "error": error})


def _hold(export: ExportJob) -> dict[str, Any]:
    return {"id": export.id, "attempts": export.attempts}


# Exports that are to be deleted: their files first, then their rows.
MARK_DELETED = text("UPDATE exports SET state = 'deleted' WHERE id = :id")
MARK_EXPIRED = text("""
    UPDATE exports SET state = 'deleted'
    WHERE state IN ('done', 'failed') AND finished_at <= now() - CAST(:retention AS interval)
""")
# Not while a process may still write a file.
LIST_DELETED = text("""
    SELECT id FROM exports WHERE state = 'deleted' AND (lease_until IS NULL OR lease_until < now())
    ORDER BY id LIMIT :limit
""")
FORGET = text("DELETE FROM exports WHERE id = :id AND state = 'deleted'")


def delete_export(engine: Engine, export_id: uuid.UUID) -> None:
    """Mark an export for deletion with its files; a running one stops."""
    with engine.begin() as connection:
        connection.execute(MARK_DELETED, {"id": export_id})


def list_deleted_exports(engine: Engine, retention: timedelta) -> Sequence[uuid.UUID]:
    """Return exports whose files are to be deleted, including those that ended so long ago."""
    with engine.begin() as connection:
        connection.execute(MARK_EXPIRED, {"retention": retention})
        return connection.execute(LIST_DELETED, {"limit": LISTED}).scalars().all()


def forget_export(engine: Engine, export_id: uuid.UUID) -> None:
    """Delete the row of an export whose files are deleted."""
    with engine.begin() as connection:
        connection.execute(FORGET, {"id": export_id})


def _read(row: Any) -> ExportJob:  # noqa: ANN401 - a mapping of the columns
    return ExportJob(**{**row, "state": ExportState.read(row["state"])})
