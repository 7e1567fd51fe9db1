"""Threads for tests: started, waited for, and seen to wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")

# Nothing here takes a tenth of it, so only what hangs comes near.
PATIENCE_S = 60.0
# How long to look at something that must not happen: too short a look misses a fault, and never invents one.
GLANCE_S = 0.05


def start_thread(call: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Start the call in a thread of its own, which does not keep the tests from ending if it hangs."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Waits:
    """Tells when threads begin to wait for the events and conditions that a module makes while it is watched.

    Whoever waits has said so to others of its kind before, under their lock: it has its place among them.
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
        assert self._begun.acquire(timeout=PATIENCE_S), "nobody waits"
