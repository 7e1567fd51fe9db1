"""Background threads of a process: all of them start, stop and fail in the same way."""

import logging
import os
import signal
import threading
from abc import ABC, abstractmethod

log = logging.getLogger(__name__)


class BackgroundThread(ABC):
    """A thread that runs from `start` to `stop`, or during a `with` block.

    `run` must return soon after `stopping` is set. If it raises, the exception is logged and the process ends itself
    with SIGTERM: a process that continued without its threads would do harm unnoticed.
    """

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """Run until `stopping` is set."""

    def wake(self) -> None:  # noqa: B027 - most have nothing to do here
        """Wake `run`, so that it checks `stopping`; override this if `run` waits for something else."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for its end; does nothing if it was never started."""
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
