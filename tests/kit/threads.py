"""Threads for tests."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

# Nothing here takes a tenth of it, so only what hangs comes near.
PATIENCE_S = 20.0
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
