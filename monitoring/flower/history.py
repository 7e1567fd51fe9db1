"""Keeps Flower's tasks and workers over restarts, as JSON: Flower's own pickle files could execute code when loaded."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flower.events import Events, EventsState

from storage.data_folder import check_ownership, make_data_folder, write_whole

SAVE_EVERY_S: Final = 60
# The fields of a task that are saved; its worker is saved by name.
FIELDS: Final = (
    "uuid", "name", "state", "args", "kwargs", "result", "exception", "traceback", "timestamp", "sent", "received",
    "started", "succeeded", "failed", "retried", "revoked", "rejected", "runtime", "retries", "eta", "expires", "clock",
    "client", "exchange", "routing_key", "root_id", "parent_id",
)  # fmt: skip

log = logging.getLogger(__name__)


# Flower has no types.
class KeptEvents(Events):  # type: ignore[misc]
    """Flower's events with limits on tasks and workers, saved to a file every minute and at the end."""

    def __init__(self, path: Path, *, max_tasks: int, max_workers: int, **more: object) -> None:
        self._limits = {"max_tasks_in_memory": max_tasks, "max_workers_in_memory": max_workers}
        super().__init__(db=str(path), persistent=True, state_save_interval=SAVE_EVERY_S * 1000, **self._limits, **more)

    def load_state(self) -> EventsState | None:
        """Return the saved state, or None if there is none or it cannot be read; raises DataFolderError."""
        path = Path(self.db)
        check_ownership(path)
        try:
            return read_history(json.loads(path.read_text()), self._limits)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            log.warning("Flower's history cannot be read, so it starts empty: %s", type(error).__name__)
            return None

    def save_state(self) -> None:
        """Save the state atomically."""
        path = Path(self.db)
        try:
            make_data_folder(path.parent)
            write_whole(path, json.dumps(write_history(self.state)))
        except OSError as error:
            log.warning("Flower's history cannot be saved: %s", os.strerror(error.errno or 0))


def write_history(state: EventsState) -> dict[str, Any]:
    """Return the saved form of a state: its tasks, oldest first, and the number of events from each worker."""
    return {"tasks": [_write_task(task) for task in state.tasks.values()], "counts": state.counter}


def _write_task(task: Any) -> dict[str, object]:  # noqa: ANN401 - Celery's have no types
    fields = {name: getattr(task, name) for name in FIELDS}
    worker = {} if task.worker is None else {"worker": task.worker.hostname}
    return {name: value for name, value in {**fields, **worker}.items() if value is not None}


def read_history(saved: Mapping[str, Any], limits: Mapping[str, int]) -> EventsState:
    """Return the saved state, with these limits.

    Raises ValueError, TypeError, LookupError or AttributeError if `saved` is not in the form that was written.
    """
    state = EventsState(**limits)
    for counted in saved["tasks"]:
        fields = {name: counted[name] for name in FIELDS if name in counted}
        task = state.tasks[fields["uuid"]] = state.Task(cluster_state=state, **fields)
        if "worker" in counted:
            task.worker, _ = state.get_or_create_worker(str(counted["worker"]))
    for worker, counts in saved["counts"].items():
        state.counter[worker].update(counts)
    state.search_engine.rebuild(state.tasks.items())
    return state
