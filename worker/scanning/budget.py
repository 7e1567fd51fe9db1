"""A bound on the memory that images take while they are decoded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Bytes shared by threads; whoever asks for more than there is waits, and more than all of it means all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()
        self._next = threading.Lock()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of the budget, waiting until they are free."""
        size = min(size, self._total)
        # One waits at a time: a large image would never see enough free while small ones slip past it.
        with self._next, self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
