"""The API's application when it starts and ends."""

import threading

import pytest

from producer.api import app
from tests.kit.api import Api


def fail(*_: object) -> None:
    """Replaces what the application starts last."""
    raise MemoryError("no process for pictures")


def test_no_thread_is_left_by_an_application_that_cannot_start(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ImageReader", fail)
    before = set(threading.enumerate())

    with pytest.raises(MemoryError), api.connect():
        pytest.fail("the application started")

    assert "job events" not in {thread.name for thread in set(threading.enumerate()) - before}
