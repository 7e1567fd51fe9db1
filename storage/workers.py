"""Workers that live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from storage.database import reading

# A worker reports several times within its lease; one that was silent for two leases is counted as gone.
SILENT_LEASES = 2
FORGET_AFTER_S = 3600


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker process: its node name, its device, when it last reported (UTC), and the model that it scores with."""

    name: str
    device: str
    seen_at: datetime
    model: str
    model_sha256: str


def report_worker(engine: Engine, name: str, device: str, model_id: int) -> None:
    """Say that this worker lives, and forget those that have not said so for long."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO workers (name, device, model_id) VALUES (:name, :device, :model_id)
                ON CONFLICT (name) DO UPDATE SET device = excluded.device, model_id = excluded.model_id, seen_at = now()
            """),
            {"name": name, "device": device, "model_id": model_id},
        )
        connection.execute(
            text("DELETE FROM workers WHERE seen_at < now() - make_interval(secs => :age)"), {"age": FORGET_AFTER_S}
        )


def remove_worker(engine: Engine, name: str) -> None:
    """Say that this worker has ended."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM workers WHERE name = :name"), {"name": name})


def live_workers(engine: Engine, lease_s: float) -> Sequence[LiveWorker]:
    """Return the workers that reported lately, by name."""
    with reading(engine) as connection:
        rows = connection.execute(
            text("""
                SELECT workers.name, device, seen_at, models.name || '-' || models.version, models.sha256
                FROM workers JOIN models ON models.id = model_id
                WHERE seen_at > now() - make_interval(secs => :age) ORDER BY workers.name
            """),
            {"age": SILENT_LEASES * lease_s},
        )
        return [LiveWorker(*row) for row in rows]
