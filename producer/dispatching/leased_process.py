"""Running a separate process for work that a thread has claimed; it is killed if the lease is lost."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Final

from sqlalchemy.exc import DBAPIError

from storage.database import may_succeed_later

RENEW_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit code, None if it was killed because we are stopping, and its standard output."""

    code: int | None
    output: str


def run_leased(
    module: str, *arguments: object, environment: Mapping[str, str], renew: Callable[[], bool], stopping: Event
) -> Ended | None:
    """Run `python -m module ARGUMENT… OUR_PID` to its end, renewing the lease; return None if the lease is lost."""
    command = [sys.executable, "-m", module, *map(str, arguments), str(os.getpid())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=RENEW_EVERY_S)
                except subprocess.TimeoutExpired:
                    if stopping.is_set():
                        return Ended(None, "")
                    if not _renew(renew):
                        return None
                else:
                    return Ended(process.returncode, output.strip())
        finally:
            if process.poll() is None:
                process.kill()


def _renew(renew: Callable[[], bool]) -> bool:
    try:
        return renew()
    except DBAPIError as error:
        if not may_succeed_later(error):
            raise
        # Go on for now: if the lease has expired when the database is back, the next renewal fails.
        return True
