"""Records the log lines of outages, to see that a thread waits for a server."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OutageLog(logging.Handler):
    """Records the lines of outages; `waits` is set once there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Record the line."""
        self.lines.append(record.getMessage())
        self.waits.set()


@contextmanager
def record_outages() -> Iterator[OutageLog]:
    """Yield the log lines of all outages that begin or end within the block."""
    handler = OutageLog()
    logger = logging.getLogger("storage.outages")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
