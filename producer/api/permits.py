"""What the API does a few at a time: unpacking archives and listing buckets, each once a key, and long reads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from producer.api.problems import RETRY_AFTER_S, ProblemError

RETRY_LATER = {"Retry-After": str(RETRY_AFTER_S)}


class KeyPermits:
    """Permits to do something, one for each key and `limit` in all; the words are those of a refusal.

    Nobody waits for one: who waits holds a thread and his upload.
    """

    def __init__(self, limit: int, what_is_done: str, allowed_by: str) -> None:
        self._limit = limit
        self._allowed_by = allowed_by
        self._what_is_done = what_is_done
        self._holders: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold a permit of this key; raises a problem, 429 where it has one, 503 where there is none left."""
        with self._lock:
            if key in self._holders:
                raise ProblemError(
                    429,
                    f"one request of this key is {self._what_is_done}; send one after the other",
                    headers=RETRY_LATER,
                )
            if len(self._holders) >= self._limit:
                raise ProblemError(
                    503,
                    f"{self._limit} requests are {self._what_is_done}, as many as {self._allowed_by} allows; "
                    "try again later",
                    headers=RETRY_LATER,
                )
            self._holders.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._holders.remove(key)


class LonePermit:
    """The permit to do what reads very many verdicts: one at a time, and nobody waits for it."""

    def __init__(self, what_is_done: str) -> None:
        self._what_is_done = what_is_done
        self._lock = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the permit; raises a problem, 503, where somebody has it."""
        if not self._lock.acquire(blocking=False):
            raise ProblemError(503, f"{self._what_is_done}; try again later", headers=RETRY_LATER)
        try:
            yield
        finally:
            self._lock.release()
