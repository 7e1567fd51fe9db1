"""How every program logs: one line for each record, in which text from outside can neither begin another nor steer."""

import logging
from types import TracebackType

from starlight_vocabulary.escaping import escape, escape_lines


class EscapingFormatter(logging.Formatter):
    """Writes a record's message on one line, and indents what follows it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the first line."""
        return escape(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return the traceback."""
        return escape_lines(super().formatException(ei))


def set_up_logging() -> None:
    """Log to standard error from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
