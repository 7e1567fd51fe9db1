"""Scans interactive chunks in a separate thread while all task threads of this worker are busy."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from starlight_vocabulary.words import Priority
from storage.background import BackgroundThread
from storage.unclaimed_chunks import Dispatched, list_dispatched_chunks

# How long a chunk waits if its notification is lost.
LOOK_EVERY_S = 0.5


class BusyThreads:
    """Counts the task threads that work on a message, out of `threads`."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._busy = 0
        self._lock = threading.Lock()

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count the calling thread as busy within the block."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def are_all_busy(self) -> bool:
        """Whether no task thread is free to take a message."""
        return self._busy >= self._threads


class InteractiveThread(BackgroundThread):
    """Scans dispatched interactive chunks while no task thread is free to take their messages.

    The messages stay in Redis; a task thread that takes one later finds that its chunks are claimed. `scan` gets the
    ids of the chunks, and the message id of the first.
    """

    def __init__(
        self, engine: Engine, busy: BusyThreads, scan: Callable[[Sequence[uuid.UUID], uuid.UUID], object]
    ) -> None:
        super().__init__("interactive")
        self._engine = engine
        self._busy = busy
        self._scan = scan
        self._asked = threading.Event()

    def wake(self) -> None:
        """Make the thread look for chunks now."""
        self._asked.set()

    def run(self) -> None:
        """Look for chunks when woken, and every `LOOK_EVERY_S` seconds, until stopped."""
        while not self.stopping.is_set():
            self._asked.wait(LOOK_EVERY_S)
            self._asked.clear()
            if self._busy.are_all_busy() and (chunks := self._list_chunks()):
                self._scan([chunk.chunk_id for chunk in chunks], chunks[0].message_id)

    def _list_chunks(self) -> list[Dispatched]:
        try:
            return list_dispatched_chunks(self._engine, Priority.INTERACTIVE)
        except SQLAlchemyError:
            # The leases thread already logs this.
            return []
