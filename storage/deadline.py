"""One deadline for all that a server may keep us waiting with: names, connections, heads, bodies, redirects."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore

# What may come before the body: more is no head, or answers with 1xx that are never followed by one.
MAX_HEAD_BYTES = 256 * 2**10


class DeadlineError(httpcore.TimeoutException):
    """The time is up, or nobody waits for the answer any more."""


class Deadline:
    """Seconds in which a server must have answered: they pass within blocks of it, where `public_network` keeps to it.

    Given up is what nobody waits for any more: reading ends within a moment, connecting at the end of its time.
    """

    def __init__(self, seconds: float, is_given_up: Callable[[], bool] = lambda: False) -> None:
        self._seconds = seconds
        self._left_s = seconds
        self._is_given_up = is_given_up
        self._head_bytes: int | None = None

    def __enter__(self) -> None:
        self._end = time.monotonic() + self._left_s
        self._outer = CURRENT.set(self)

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._outer)
        self._left_s = self._end - time.monotonic()

    def left_s(self) -> float:
        """Return the seconds that are left within a block; raises DeadlineError where there are none."""
        if self._is_given_up():
            raise DeadlineError("nobody waits for it any more")
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"more than {self._seconds:g} s")
        return left

    @contextmanager
    def awaiting_head(self) -> Iterator[None]:
        """Count what is read within the block as what comes before a body."""
        self._head_bytes = 0
        try:
            yield
        finally:
            self._head_bytes = None

    def count(self, size: int) -> None:
        """Note that so many bytes were read; raises RemoteProtocolError where a head is too large."""
        if self._head_bytes is None:
            return
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise httpcore.RemoteProtocolError(f"more than {MAX_HEAD_BYTES:,} bytes before the body")


CURRENT: ContextVar[Deadline] = ContextVar("deadline")
