"""Concurrency limits: archives, listings and the chain, one request per key, and long reads, one at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from producer.api.problems import RETRY_AFTER_S, ProblemError

RETRY_LATER = {"Retry-After": str(RETRY_AFTER_S)}


class KeyPermits:
    """Permits for an operation, one per key and `limit` in total; the texts are used in refusals.

    Requests do not wait for a permit, since a waiting request would hold a thread and its upload.
    """

    def __init__(self, limit: int, what_is_done: str, allowed_by: str) -> None:
        self._limit = limit
        self._allowed_by = allowed_by
        self._what_is_done = what_is_done
        self._holders: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold a permit for this key; raises a problem: 429 if the key already has one, 503 if all are taken."""
        with self._lock:
            if key in self._holders:
                raise ProblemError(
                    429,
                    f"another request of this key is {self._what_is_done}; send one after the other",
                    headers=RETRY_LATER,
                )
            if len(self._holders) >= self._limit:
                raise ProblemError(
                    503,
                    f"{self._limit} requests are {self._what_is_done}, the limit of {self._allowed_by}; "
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
    """The only permit for an operation that reads very many verdicts; requests do not wait for it."""

    def __init__(self, what_is_done: str) -> None:
        self._what_is_done = what_is_done
        self._lock = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the permit; raises a problem (503) if it is taken."""
        if not self._lock.acquire(blocking=False):
            raise ProblemError(503, f"{self._what_is_done}; try again later", headers=RETRY_LATER)
        try:
            yield
        finally:
            self._lock.release()
