"""A semaphore that threads pass in the order of their arrival, urgent ones first."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class FairSemaphore:
    """Lets `limit` threads into the block at a time. A thread that leaves lets in the one that has waited longest.

    With `threading.Semaphore`, a thread that leaves and returns at once overtakes the waiting ones: a lone image would
    wait for all chunks that are being decoded.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[threading.Event] = deque()
        self._urgent: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, *, at_once: bool = False) -> Iterator[None]:
        """Wait for a place and hold it within the block; with `at_once`, before all waiting threads without it."""
        self._enter(self._urgent if at_once else self._waiting)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, queue: deque[threading.Event]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            queue.append(turn)
        turn.wait()

    def _leave(self) -> None:
        with self._lock:
            if queue := self._urgent or self._waiting:
                queue.popleft().set()
            else:
                self._free += 1
