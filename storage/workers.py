"""Live workers: each process reports regularly, and counts as gone after a long silence."""

from collections.abc import Sequence

from sqlalchemy import Engine, text

from starlight_vocabulary.answers import LiveWorker
from storage.database import connect_to_read

# A worker reports several times per lease; after two leases without a report it counts as gone.
SILENT_LEASES = 2
FORGET_AFTER_S = 3600

# Stores that a worker is alive.
REPORT_WORKER = text("""
    INSERT INTO workers (name, device, model_id) VALUES (:name, :device, :model_id)
    ON CONFLICT (name) DO UPDATE SET device = excluded.device, model_id = excluded.model_id, seen_at = now()
""")

# Deletes workers that disappeared.
FORGET_SILENT = text("DELETE FROM workers WHERE seen_at < now() - make_interval(secs => :age)")


def report_worker(engine: Engine, name: str, device: str, model_id: int) -> None:
    """Report that this worker is alive, and delete workers that have not reported for long."""
    with engine.begin() as connection:
        connection.execute(REPORT_WORKER, {"name": name, "device": device, "model_id": model_id})
        connection.execute(FORGET_SILENT, {"age": FORGET_AFTER_S})


# Deletes a worker.
REMOVE_WORKER = text("DELETE FROM workers WHERE name = :name")


def remove_worker(engine: Engine, name: str) -> None:
    """Report that this worker has ended."""
    with engine.begin() as connection:
        connection.execute(REMOVE_WORKER, {"name": name})


# Live workers, with their models.
LIST_LIVE_WORKERS = text("""
    SELECT workers.name, device, seen_at, draining, models.name || '-' || models.version AS model,
        models.sha256 AS model_sha256
    FROM workers JOIN models ON models.id = model_id
    WHERE seen_at > now() - make_interval(secs => :age) ORDER BY workers.name
""")


def list_live_workers(engine: Engine, lease_s: float) -> Sequence[LiveWorker]:
    """Return the live workers, by name."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_LIVE_WORKERS, {"age": SILENT_LEASES * lease_s})
        return [LiveWorker(**row._mapping) for row in rows]
