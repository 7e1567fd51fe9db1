"""Messages that come again and again: so many a minute are written, and then how many more there were."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60.0
# Of one message that a stranger causes, and of one that the stack causes.
STRANGERS_PER_MINUTE: Final = 1
MOST_PER_MINUTE: Final = 100
# Other messages than these are told of and forgotten, and are new when they come again.
MOST_MESSAGES: Final = 100

Message = tuple[str, str]


@dataclass(slots=True)
class Count:
    """How often a message came since a time, its last record, and how many of its lines were written."""

    since: float
    last: logging.LogRecord
    written: int = 0
    held_back: int = 0


class Repeats:
    """Counts messages, whatever is put into them: all of some loggers, of others warnings and what is worse.

    Not safe for many threads at once: a handler has a lock.
    """

    def __init__(self, strangers: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = frozenset(strangers)
        self._clock = clock
        # The oldest first.
        self._counts: dict[Message, Count] = {}

    def admit(self, record: logging.LogRecord) -> tuple[bool, list[logging.LogRecord]]:
        """Return whether to write the record, and what is to be told of messages that make room for it."""
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
        """Forget messages whose minute is over; return what is to be told of them."""
        now = self._clock()
        told = []
        for message, count in list(self._counts.items()):
            if now - count.since < MINUTE_S:
                break
            del self._counts[message]
            told += summarise(count)
        return told

    def end_all(self) -> list[logging.LogRecord]:
        """Forget all messages; return what is to be told of them."""
        told = [line for count in self._counts.values() for line in summarise(count)]
        self._counts.clear()
        return told


def summarise(count: Count) -> list[logging.LogRecord]:
    """Return a record that says how many lines were held back, where any were."""
    if not count.held_back:
        return []
    last = count.last
    text = "%s more such lines were held back, the last: %s"
    counted = (f"{count.held_back:,}", last.getMessage())
    return [logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, counted, None)]
