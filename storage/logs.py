"""How every program logs: one line for each record, in which text from outside can neither begin another nor steer."""

import logging
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from starlight_vocabulary.escaping import escape, escape_lines

MINUTE_S = 60.0
# Other messages than these are forgotten, and are new when they come again.
MOST_MESSAGES = 100


class EscapingFormatter(logging.Formatter):
    """Writes a record's message on one line, with its time in UTC, and indents what follows it."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the first line."""
        return escape(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return the traceback."""
        return escape_lines(super().formatException(ei))


class OncePerMinute(logging.Filter):
    """Lets a message through once a minute, whatever is put into it, and then says how many were held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # When each was let through, and how many were held back since.
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        now, key = self._clock(), (record.name, str(record.msg))
        passed_at, held_back = self._seen.get(key, (-math.inf, 0))
        if now - passed_at < MINUTE_S:
            self._seen[key] = (passed_at, held_back + 1)
            return False
        if len(self._seen) >= MOST_MESSAGES:
            self._seen.clear()
        self._seen[key] = (now, 0)
        if held_back:
            record.msg = f"{record.msg} ({held_back:,} more since the last such line)"
        return True


def hold_back_repeats(*names: str) -> None:
    """Have these loggers write each message once a minute at most, where strangers decide how often there is cause."""
    held = OncePerMinute()
    for name in names:
        logging.getLogger(name).addFilter(held)


def set_up_logging(stream: TextIO | None = None) -> None:
    """Log to this stream from now on, standard error unless told otherwise."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
