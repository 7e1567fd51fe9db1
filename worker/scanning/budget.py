"""A limit on the memory that images take."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count


class Reservation:
    """Bytes of a budget that are held until `release`; releasing twice changes nothing."""

    def __init__(self, budget: "Budget", size: int, holder: str = "") -> None:
        self._budget = budget
        self._size = size
        self._holder = holder

    def release(self) -> None:
        """Give the bytes back."""
        size, self._size = self._size, 0
        self._budget.give_back(size, self._holder)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request that waits for bytes; `number` is its position in the order of arrival."""

    holder: str
    size: int
    number: int


class Budget:
    """Bytes that threads share. A request waits until they are free; one for more than the total gets the total.

    Only one request at a time is next, and no other overtakes it: otherwise a large image would never find enough free
    bytes while small ones do. Next is the holder with the fewest bytes, then the one served longest ago, then the
    oldest request.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._held: Counter[str] = Counter()
        self._served: Counter[str] = Counter()
        self._numbers = count(1)
        self._waiting: list[Request] = []
        self._changed = threading.Condition()

    def reserve(self, size: int, holder: str = "", timeout_s: float | None = None) -> Reservation:
        """Reserve `size` bytes, waiting until they are free; raises TimeoutError after `timeout_s` seconds."""
        with self._changed:
            request = Request(holder, min(size, self._total), next(self._numbers))
            self._waiting.append(request)
            try:
                if not self._changed.wait_for(lambda: self._may_have(request), timeout_s):
                    raise TimeoutError
                self._free -= request.size
                self._held[holder] += request.size
                self._served[holder] = next(self._numbers)
            finally:
                self._waiting.remove(request)
                self._changed.notify_all()
        return Reservation(self, request.size, holder)

    def _may_have(self, request: Request) -> bool:
        following = min(
            self._waiting, key=lambda each: (self._held[each.holder], self._served[each.holder], each.number)
        )
        return request is following and request.size <= self._free

    def reserve_if_free(self, size: int) -> Reservation | None:
        """Reserve `size` bytes if they are free now, else return None."""
        with self._changed:
            if self._free < size:
                return None
            self._free -= size
            self._held[""] += size
        return Reservation(self, size)

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes within the block, waiting until they are free."""
        reservation = self.reserve(size)
        try:
            yield
        finally:
            reservation.release()

    def give_back(self, size: int, holder: str) -> None:
        """Free bytes that were reserved; `Reservation.release` calls this."""
        with self._changed:
            self._free += size
            self._held[holder] -= size
            self._changed.notify_all()
