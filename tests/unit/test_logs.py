"""One record, one line."""

import logging

import pytest

from storage.logs import EscapingFormatter

FORGED = "all is well\n2026-11-25 12:00:00,000 INFO storage: \x1b[2Jnothing happened\r\u202e"


class ForgedError(Exception):
    """Its text is from outside."""


def make_record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("storage", logging.WARNING, __file__, 1, message, arguments, exc_info)


def test_a_message_is_one_line_and_steers_nothing() -> None:
    line = EscapingFormatter("%(levelname)s %(name)s: %(message)s").format(make_record("read %s", FORGED))

    assert line.isprintable()
    assert line.startswith("WARNING storage: read all is well\\n2026-11-25 12:00:00,000 INFO storage: \\x1b[2J")


def test_no_line_of_a_traceback_looks_like_a_record() -> None:
    with pytest.raises(ForgedError) as raised:
        raise ForgedError(FORGED)

    text = EscapingFormatter("%(message)s").format(make_record("failed", error=raised.value))

    first, second, *more = text.split("\n")
    assert (first, second) == ("failed", "Traceback (most recent call last):")
    assert len(more) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in more)
