"""Flower's history: kept over restarts as JSON, within limits; a bad file does no harm."""

import json
import pickle
from pathlib import Path
from typing import Any

import celery
import pytest

from monitoring.flower.history import KeptEvents
from storage.data_folder import DataFolderError

WORKER = "gpu0@here"


def open_history(path: Path, most: int = 100) -> Any:
    return KeptEvents(path, capp=celery.Celery(), io_loop=None, max_tasks=most, max_workers=10)


def tell(events: Any, kind: str, uuid: str, clock: int, **fields: object) -> None:
    told = {"type": kind, "uuid": uuid, "hostname": WORKER, "timestamp": 1000.0 + clock, "clock": clock}
    events.state.event({**told, "local_received": 1000.0 + clock, **fields})


def scan(events: Any, uuid: str, clock: int) -> None:
    tell(events, "task-received", uuid, clock, name="worker.scan_chunk", args=f"chunk {uuid}", retries=0)
    tell(events, "task-started", uuid, clock + 1)
    tell(events, "task-succeeded", uuid, clock + 2, result="'64 images: all clean'", runtime=0.5)


def test_tasks_and_workers_are_there_again_and_can_be_searched(tmp_path: Path) -> None:
    path = tmp_path / "flower" / "history.json"
    first = open_history(path)
    scan(first, "one", 1)
    tell(first, "task-received", "two", 9, name="worker.scan_chunk")
    before = {task.uuid: task.as_dict() | {"worker": task.worker.hostname} for task in first.state.tasks.values()}
    first.save_state()

    second = open_history(path)

    after = {task.uuid: task.as_dict() | {"worker": task.worker.hostname} for task in second.state.tasks.values()}
    assert after == before
    assert second.state.counter[WORKER] == first.state.counter[WORKER]
    assert second.state.search_engine.search(second.state.tasks, "all clean").task_ids == ["one"]
    # Running tasks continue.
    tell(second, "task-succeeded", "two", 11, result="'1 image: all clean'", runtime=1.0)
    assert second.state.tasks["two"].state == "SUCCESS"
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    first = open_history(path, most=5)
    for number in range(20):
        scan(first, str(number), 10 * number)
    first.save_state()

    second = open_history(path, most=3)
    scan(second, "new", 1000)

    assert list(second.state.tasks) == ["18", "19", "new"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'{"tasks": [{}], "counts": {}}', b'{"tasks": 5, "counts": {}}', pickle.dumps({"events": 1})],
)
def test_a_file_that_is_no_history_is_told_and_begun_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(content)

    events = open_history(path)

    assert list(events.state.tasks) == []
    assert len(caplog.records) == 1
    events.save_state()
    assert json.loads(path.read_text()) == {"tasks": [], "counts": {}}


def test_what_others_may_write_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text("{}")
    path.chmod(0o666)

    with pytest.raises(DataFolderError):
        open_history(path)
