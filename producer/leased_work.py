"""What a process does that works under a lease for a dispatcher, which starts it by `run_leased`.

Its last argument is the id of that dispatcher. Its exit code says how it ended.
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

# Such work waits for scans, not the other way round.
NICENESS: Final = 10
# Exit codes: nobody wants it any more, and the database is away.
UNWANTED, LATER = 4, 5


def start_work(program: str, parent: str, pool_size: int) -> tuple[Engine, Settings]:
    """Set up a process that ends with its parent and gives way to others; return what it works with."""
    if sys.platform == "linux":
        die_with(int(parent))
    set_up_logging(program)
    os.nice(NICENESS)
    settings = read_settings()
    assert settings.database_url is not None, "the dispatcher says which"
    engine = connect(
        settings.database_url,
        direct_url=settings.database_direct_url,
        pool_size=pool_size,
        application=f"starlight {program}",
    )
    return engine, settings


@contextmanager
def end_with_code(failure: str, **what: uuid.UUID) -> Iterator[None]:
    """End the process with a code where this block raises; what nobody expected is logged as this `failure`."""
    try:
        yield
    except DBAPIError as error:
        if not may_succeed_later(error):
            raise
        sys.exit(LATER)
    except Exception:
        logging.getLogger(__name__).exception(failure, extra=what)
        sys.exit(1)
