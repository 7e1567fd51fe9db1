"""A bound on the memory that images take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Reservation:
    """Bytes of a budget that somebody holds until `release`; releasing twice changes nothing."""

    def __init__(self, budget: "Budget", size: int) -> None:
        self._budget = budget
        self._size = size

    def release(self) -> None:
        """Give the bytes back."""
        size, self._size = self._size, 0
        self._budget.give_back(size)


class Budget:
    """Bytes shared by threads; whoever asks for more than there is waits, and more than all of it means all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()
        self._next = threading.Lock()

    def reserve(self, size: int) -> Reservation:
        """Reserve `size` bytes, waiting until they are free."""
        size = min(size, self._total)
        # One waits at a time: a large image would never see enough free while small ones slip past it.
        with self._next, self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        return Reservation(self, size)

    def reserve_if_free(self, size: int) -> Reservation | None:
        """Reserve `size` bytes if they are free now, else return None."""
        with self._changed:
            if self._free < size:
                return None
            self._free -= size
        return Reservation(self, size)

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes within the block, waiting until they are free."""
        reservation = self.reserve(size)
        try:
            yield
        finally:
            reservation.release()

    def give_back(self, size: int) -> None:
        """Free bytes that were reserved; `Reservation.release` calls this."""
        with self._changed:
            self._free += size
            self._changed.notify_all()
