"""Draining: a draining worker claims no more chunks, finishes those it has, and stays up."""

from sqlalchemy import Engine, text

from starlight_vocabulary.operations import Action
from storage.database import connect_to_read
from storage.notifications import DRAINING
from storage.operations import OperationError, record_operation
from storage.workers import SILENT_LEASES

# Whether the worker of this name is draining.
IS_DRAINING = "EXISTS (SELECT FROM workers WHERE name = {worker} AND draining)"

# Live workers whose draining changes: the one of this name, or all.
SET_DRAINING = text("""
    UPDATE workers SET draining = :draining WHERE (name = CAST(:name AS text) OR CAST(:name AS text) IS NULL)
        AND draining <> :draining AND seen_at > now() - make_interval(secs => :age)
    RETURNING name
""")

# The live workers.
LIST_NAMES = text("SELECT name FROM workers WHERE seen_at > now() - make_interval(secs => :age) ORDER BY name")


def set_draining(
    engine: Engine, worker: str | None, lease_s: float, done_by: str, *, draining: bool = True
) -> list[str]:
    """Drain or undrain a live worker, or all if `worker` is None; return the names of those that changed.

    Raises OperationError if no worker of that name, or none at all, is alive.
    """
    age = SILENT_LEASES * lease_s
    with engine.begin() as connection:
        living = connection.execute(LIST_NAMES, {"age": age}).scalars().all()
        if not living or (worker is not None and worker not in living):
            wanted = "no worker" if worker is None else f"no worker {worker}"
            raise OperationError(f"{wanted} is alive; live workers: {', '.join(living) or 'none'}")
        rows = connection.execute(SET_DRAINING, {"draining": draining, "name": worker, "age": age}).scalars()
        changed = sorted(rows)
        for name in changed:
            record_operation(connection, done_by, Action.DRAIN if draining else Action.UNDRAIN, f"worker {name}")
        connection.execute(text(f"NOTIFY {DRAINING}"))
    return changed


# Whether a worker is draining.
READ_DRAINING = text(f"SELECT {IS_DRAINING.format(worker=':name')}")


def is_draining(engine: Engine, worker: str) -> bool:
    """Whether this worker is draining."""
    with connect_to_read(engine) as connection:
        return bool(connection.execute(READ_DRAINING, {"name": worker}).scalar_one())
