"""Which chunks a worker scans at once, so that nobody's slow ones keep everybody else's from being scanned."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Task threads of a worker beyond its slots for chunks: whoever comes finds one, though another has all slots.
SPARE_THREADS = 1
LOOK_EVERY_S = 0.5


class Slots:
    """As many chunks of one submitter are scanned at once as there are slots; one that waits lets others go first."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, submitter: str, must_give_way: Callable[[], bool]) -> Iterator[bool]:
        """Hold a slot within the block, once there is one; yields False, and holds none, where others go first.

        Who holds one already is asked whether he must give way.
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
            # Not under the lock: it is asked of the database.
            if self._taken[submitter] and must_give_way():
                return False
            with self._changed:
                if self._taken[submitter] < self._slots:
                    self._taken[submitter] += 1
                    return True
                self._changed.wait(LOOK_EVERY_S)
