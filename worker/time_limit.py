"""A time limit for code that cannot be interrupted from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def limit_time(seconds: float, overdue: Callable[[], None]) -> Iterator[None]:
    """Call `overdue` in another thread if the block takes longer than `seconds`; the block itself continues."""
    timer = threading.Timer(seconds, overdue)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
