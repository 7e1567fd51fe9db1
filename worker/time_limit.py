"""A limit on how long something may take that cannot be interrupted from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def limit_time(seconds: float, overdue: Callable[[], None]) -> Iterator[None]:
    """Call `overdue`, in a thread of its own, if the block takes longer; the block itself goes on."""
    timer = threading.Timer(seconds, overdue)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
