"""Running a stack for a command: one at a time per data folder."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from producer.cli.installation import Installation
from producer.stack import Program, Stack
from storage.data_folder import make_data_folder
from storage.embedded.locks import FileLock
from storage.embedded.postgres import EmbeddedServerError

LOCK_NAME = "stack.lock"
REVIVE_INTERVAL_S = 3.0

log = logging.getLogger(__name__)


def open_stack_lock(data_dir: Path) -> FileLock:
    """Return the lock of the process that runs this data folder's stack; the file contains its process id."""
    make_data_folder(data_dir)
    return FileLock(data_dir / LOCK_NAME)


class StackRunner:
    """Runs the stack if no other process does, and takes over when the other one stops."""

    def __init__(self, current: Installation, programs: Sequence[Program], log_to: Path | None) -> None:
        self._lock = open_stack_lock(current.settings.data_dir)
        self._stack = Stack(programs, {**current.servers.environment(), **choose_style(current, log_to)}, log_to)
        self._servers = current.servers
        # Later, since the session has just started the servers.
        self._revive_at = time.monotonic() + REVIVE_INTERVAL_S
        self.running = False

    def watch(self) -> None:
        """Keep the stack running; to be called about every second."""
        if self.running:
            if time.monotonic() > self._revive_at:
                try:
                    self._servers.revive()
                except EmbeddedServerError as error:
                    # Remains of a killed server can prevent the next one from starting for a moment.
                    log.warning("trying again in %.0f s: %s", REVIVE_INTERVAL_S, str(error).splitlines()[0])
                self._revive_at = time.monotonic() + REVIVE_INTERVAL_S
            self._stack.watch()
        elif self._lock.acquire(wait=False):
            self._lock.write(str(os.getpid()))
            self.running = True
            self._stack.start()

    def stop(self) -> None:
        """Stop the programs that were started here."""
        self._stack.stop()
        if self.running:
            self._lock.write("")
        self._lock.release()


def choose_style(current: Installation, log_to: Path | None) -> dict[str, str]:
    """Return the variable that makes programs log text to files, unless a format is set."""
    return {"STARLIGHT_LOG": "text"} if log_to is not None and current.settings.log == "auto" else {}


@contextmanager
def run_stack(current: Installation, programs: Sequence[Program], log_to: Path | None) -> Iterator[StackRunner]:
    """Yield a runner, which has started the stack unless another process already runs it for this data folder."""
    runner = StackRunner(current, programs, log_to)
    try:
        runner.watch()
        yield runner
    finally:
        runner.stop()
