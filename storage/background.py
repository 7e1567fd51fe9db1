"""Threads that serve a process until it ends: all of them start, stop and fail in the same way."""

import logging
import os
import signal
import threading
from abc import ABC, abstractmethod

log = logging.getLogger(__name__)


class BackgroundThread(ABC):
    """A thread that runs from `start` to `stop`; as a context manager, while the block lasts.

    `run` returns soon after `stopping` is set. If it raises, that is logged and the process is told to end (SIGTERM):
    one that lives on without its threads would do harm unseen.
    """

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """Serve until `stopping` is set."""

    def wake(self) -> None:  # noqa: B027 - most have nothing to do here
        """Have `run` look at `stopping`; for those that wait for something else."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for its end; nothing happens where it was never started."""
        self.stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self.run()
        except Exception:
            log.critical("the thread %r failed; this process ends", self._thread.name, exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)
