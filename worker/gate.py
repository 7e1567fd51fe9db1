"""A gate that lets many chunks run together, or one suspect alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A shared/exclusive lock; a waiting exclusive user keeps new shared users out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared = 0
        self._exclusive = False
        self._waiting = 0

    @contextmanager
    def enter(self, *, alone: bool) -> Iterator[None]:
        """Hold the lock within the block: exclusively if `alone`, otherwise shared."""
        if alone:
            self._enter_alone()
        else:
            self._enter_shared()
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._exclusive = False
                else:
                    self._shared -= 1
                self._changed.notify_all()

    def _enter_alone(self) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._exclusive and self._shared == 0)
            self._waiting -= 1
            self._exclusive = True

    def _enter_shared(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive and self._waiting == 0)
            self._shared += 1
