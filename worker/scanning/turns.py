"""Turns that threads take in the order in which they come."""

import threading
from collections import deque


class Turns:
    """Lets `limit` threads into the block at a time. Who leaves hands over to whoever has waited longest.

    With `threading.Semaphore`, a thread that leaves and comes back at once overtakes those that wait: a lone image
    would wait for all chunks that are being decoded.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
