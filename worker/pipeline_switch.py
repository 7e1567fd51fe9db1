"""The scanner of the model in use, and those of earlier models until their last chunk has ended."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from worker.scanning.pipeline import Scanner


class Scanners:
    """Hands out the newest scanner. A chunk keeps the one that it began with, so that no chunk mixes models."""

    def __init__(self, first: Scanner) -> None:
        self._newest = first
        self._users: Counter[Scanner] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def newest(self) -> Iterator[Scanner]:
        """Use the newest scanner within the block."""
        with self._lock:
            scanner = self._newest
            self._users[scanner] += 1
        try:
            yield scanner
        finally:
            with self._lock:
                self._users[scanner] -= 1
                superseded = scanner is not self._newest and not self._users[scanner]
            if superseded:
                scanner.close()

    def replace(self, scanner: Scanner) -> None:
        """Use this scanner from now on."""
        with self._lock:
            before, self._newest = self._newest, scanner
            idle = not self._users[before]
        if idle:
            before.close()

    def close(self) -> None:
        """End the newest scanner; no chunk may be running."""
        self._newest.close()
