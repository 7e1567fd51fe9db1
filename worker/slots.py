"""Limits which chunks a worker scans at once, so that slow chunks of one submitter do not block those of others."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Task threads beyond the slots: a chunk of another submitter finds a thread even if one submitter has all its slots.
SPARE_THREADS = 1
LOOK_EVERY_S = 0.5


class Slots:
    """Up to `slots` chunks of each submitter are scanned at once; a chunk that waits lets other submitters go first."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, submitter: str, must_give_way: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a slot and hold it within the block; yields False, without a slot, if others go first.

        `must_give_way` is called only if the submitter already holds a slot.
        """
        entered = self._enter(submitter, must_give_way)
        try:
            yield entered
        finally:
            if entered:
                with self._changed:
                    self._taken[submitter] -= 1
                    if not self._taken[submitter]:
                        del self._taken[submitter]
                    self._changed.notify_all()

    def _enter(self, submitter: str, must_give_way: Callable[[], bool]) -> bool:
        while True:
            # Not under the lock, since it queries the database.
            if self._taken[submitter] and must_give_way():
                return False
            with self._changed:
                if self._taken[submitter] < self._slots:
                    self._taken[submitter] += 1
                    return True
                self._changed.wait(LOOK_EVERY_S)
