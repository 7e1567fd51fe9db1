"""One deadline for everything that a server can delay: names, connections, heads, bodies, redirects."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore

# The limit of bytes before the body: more is not a head, or an endless series of 1xx answers.
MAX_HEAD_BYTES = 256 * 2**10


class DeadlineError(httpcore.TimeoutException):
    """The time is up, or the answer is not needed any more."""


class Deadline:
    """A server must have answered within so many seconds; they run within `with` blocks, observed by `public_network`.

    Once `is_given_up` returns True, reading ends within a moment, connecting at the end of its time.
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
        """Return the seconds left in the block; raises DeadlineError if there are none."""
        if self._is_given_up():
            raise DeadlineError("the answer is not needed any more")
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"more than {self._seconds:g} s")
        return left

    @contextmanager
    def awaiting_head(self) -> Iterator[None]:
        """Count bytes read within the block as bytes before the body."""
        self._head_bytes = 0
        try:
            yield
        finally:
            self._head_bytes = None

    def count(self, size: int) -> None:
        """Count so many bytes; raises RemoteProtocolError if a head is too large."""
        if self._head_bytes is None:
            return
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise httpcore.RemoteProtocolError(f"more than {MAX_HEAD_BYTES:,} bytes before the body")


CURRENT: ContextVar[Deadline] = ContextVar("deadline")
