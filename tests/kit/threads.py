"""Threads for tests: starts them, waits for them, and detects that they wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")

# Many times longer than anything here takes, also on a slow machine, so only a hang reaches it.
PATIENCE_S = 240.0
# How long to check that something does not happen. If this is too short, a fault may be missed, but none is invented.
GLANCE_S = 0.05


def start_thread(call: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Start the call in a daemon thread, so that the tests can end even if it hangs."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Waits:
    """Detects when threads begin to wait for events and conditions that a module creates while it is watched.

    The modules register a waiting thread, under their lock, before it waits, so its position in the queue is certain.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        begun = self._begun = threading.Semaphore(0)

        class Event(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                begun.release()
                return super().wait(timeout)

        class Condition(threading.Condition):
            def wait(self, timeout: float | None = None) -> bool:
                begun.release()
                return super().wait(timeout)

        watched = {**vars(threading), "Event": Event, "Condition": Condition}
        monkeypatch.setattr(module, "threading", SimpleNamespace(**watched))

    def await_next(self) -> None:
        """Return once one more thread waits."""
        assert self._begun.acquire(timeout=PATIENCE_S), "no thread waits"
