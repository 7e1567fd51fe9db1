"""Seeing that somebody waits for a server."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OutageLog(logging.Handler):
    """Notes that somebody waits for a server, and how many lines that took."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note the line."""
        self.lines.append(record.getMessage())
        self.waits.set()


@contextmanager
def record_outages() -> Iterator[OutageLog]:
    """Yield the lines of outages, of all servers, that begin or end while the block lasts."""
    handler = OutageLog()
    logger = logging.getLogger("storage.outages")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
