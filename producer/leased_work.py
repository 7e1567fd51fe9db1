"""Setup and exit codes of processes that work under a lease; a dispatcher starts them with `run_leased`.

The last argument of such a process is the process id of the dispatcher.
"""

import logging
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.stack import die_with
from storage.database import connect, may_succeed_later
from storage.logs import set_up_logging
from storage.settings import Settings, read_settings

# Scans have precedence over such work.
NICENESS: Final = 10
# Exit codes: the work is no longer wanted, and the database is not available.
UNWANTED, LATER = 4, 5


def start_work(program: str, parent: str, pool_size: int) -> tuple[Engine, Settings]:
    """Set up a low-priority process that ends with its parent; return an engine and the settings."""
    if sys.platform == "linux":
        die_with(int(parent))
    set_up_logging(program)
    os.nice(NICENESS)
    settings = read_settings()
    assert settings.database_url is not None, "the dispatcher sets it"
    engine = connect(
        settings.database_url,
        direct_url=settings.database_direct_url,
        pool_size=pool_size,
        application=f"starlight {program}",
    )
    return engine, settings


@contextmanager
def end_with_code(failure: str, **what: uuid.UUID) -> Iterator[None]:
    """End the process with an exit code if this block raises; unexpected errors are logged as `failure`."""
    try:
        yield
    except DBAPIError as error:
        if not may_succeed_later(error):
            raise
        sys.exit(LATER)
    except Exception:
        logging.getLogger(__name__).exception(failure, extra=what)
        sys.exit(1)
