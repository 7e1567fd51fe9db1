"""Waiting for an unavailable server: with growing delays, and one log line when it goes away and when it is back."""

import logging
import threading
import time
from collections.abc import Iterator
from types import TracebackType

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0

log = logging.getLogger(__name__)


def grow_pauses() -> Iterator[float]:
    """Yield delays between retries, in seconds: growing up to a limit, without end."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_S)


class Server:
    """A server that threads of this process wait for; it is back once no thread waits any more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0

    def add_waiter(self, reason: str) -> None:
        """Count a waiting thread."""
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._since = time.monotonic()
                log.warning("%s does not do its work; waiting until it does: %s", self._name, reason)

    def remove_waiter(self) -> None:
        """Uncount a waiting thread."""
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0:
                log.warning("%s works again after %.1f s", self._name, time.monotonic() - self._since)


class Backoff:
    """One thread's wait for a server, from its first failure until the block ends or `note_success` is called."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pauses: Iterator[float] | None = None

    def __enter__(self) -> "Backoff":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.note_success()

    def note_failure(self, error: BaseException) -> float:
        """Note a failure of the server; return the seconds to wait before the next try."""
        if self._pauses is None:
            self._pauses = grow_pauses()
            self._server.add_waiter(str(error).strip().partition("\n")[0])
        return next(self._pauses)

    def wait_after(self, error: BaseException) -> None:
        """Note a failure of the server, and wait."""
        time.sleep(self.note_failure(error))

    def note_success(self) -> None:
        """Note that the server works."""
        if self._pauses is not None:
            self._pauses = None
            self._server.remove_waiter()


POSTGRESQL = Server("PostgreSQL")
