"""Limits repeated log messages per minute, and reports how many were suppressed."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60.0
# Lines per minute of a message that strangers can cause, and of one that only the stack causes.
STRANGERS_PER_MINUTE: Final = 1
MOST_PER_MINUTE: Final = 100
# The number of messages counted at once; the oldest are reported and forgotten to make room.
MOST_MESSAGES: Final = 100

Message = tuple[str, str]


@dataclass(slots=True)
class Count:
    """The number of records of a message since a time, the last record, and how many were written."""

    since: float
    last: logging.LogRecord
    written: int = 0
    held_back: int = 0


class Repeats:
    """Counts messages regardless of their arguments: all messages of some loggers, warnings and worse of the others.

    Not thread-safe: the handler has a lock.
    """

    def __init__(self, strangers: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = frozenset(strangers)
        self._clock = clock
        # The oldest first.
        self._counts: dict[Message, Count] = {}

    def admit(self, record: logging.LogRecord) -> tuple[bool, list[logging.LogRecord]]:
        """Return whether to write the record, and the reports on messages that make room for it."""
        is_strangers = record.name in self._strangers
        if record.levelno < logging.WARNING and not is_strangers:
            return True, []
        message, told = (record.name, str(record.msg)), []
        if message not in self._counts:
            if len(self._counts) >= MOST_MESSAGES:
                told = self.end_all()
            self._counts[message] = Count(self._clock(), record)
        count = self._counts[message]
        count.last = record
        if count.written < (STRANGERS_PER_MINUTE if is_strangers else MOST_PER_MINUTE):
            count.written += 1
            return True, told
        count.held_back += 1
        return False, told

    def end_minutes(self) -> list[logging.LogRecord]:
        """Forget messages whose minute is over; return the reports on them."""
        now = self._clock()
        told = []
        for message, count in list(self._counts.items()):
            if now - count.since < MINUTE_S:
                break
            del self._counts[message]
            told += summarise(count)
        return told

    def end_all(self) -> list[logging.LogRecord]:
        """Forget all messages; return the reports on them."""
        told = [line for count in self._counts.values() for line in summarise(count)]
        self._counts.clear()
        return told


def summarise(count: Count) -> list[logging.LogRecord]:
    """Return a record that reports the number of suppressed lines, if any."""
    if not count.held_back:
        return []
    last = count.last
    text = "%s more such lines were held back, the last: %s"
    counted = (f"{count.held_back:,}", last.getMessage())
    return [logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, counted, None)]
