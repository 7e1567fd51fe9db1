"""Advisory file locks between processes; the kernel releases them when a process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """A lock on a file, shared or exclusive, held by this object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Acquire the lock, or change its mode; returns False if it is taken and `wait` is off."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(self._descriptor, mode)
        except BlockingIOError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock exclusively for a `with` block, waiting for it."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def write(self, text: str) -> None:
        """Replace the holder's information in the locked file."""
        assert self._descriptor is not None, "only the holder writes"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def read(self) -> str:
        """Return the last holder's information."""
        return self.path.read_text() if self.path.exists() else ""
