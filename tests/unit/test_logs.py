"""One record, one line."""

import logging
import time

import pytest

from storage.logs import MINUTE_S, MOST_MESSAGES, EscapingFormatter, OncePerMinute

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


def test_a_time_is_told_in_utc_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    record = make_record("read")
    record.created, record.msecs = 0.25, 250.0

    line = EscapingFormatter("%(asctime)s %(message)s").format(record)
    monkeypatch.undo()
    time.tzset()

    assert line == "1970-01-01T00:00:00.250Z read"


def test_no_line_of_a_traceback_looks_like_a_record() -> None:
    with pytest.raises(ForgedError) as raised:
        raise ForgedError(FORGED)

    text = EscapingFormatter("%(message)s").format(make_record("failed", error=raised.value))

    first, second, *more = text.split("\n")
    assert (first, second) == ("failed", "Traceback (most recent call last):")
    assert len(more) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in more)


def test_a_message_comes_once_a_minute_and_then_says_how_many_were_held_back() -> None:
    now = 0.0
    once = OncePerMinute(lambda: now)

    def write(message: str, *arguments: object) -> str | None:
        record = make_record(message, *arguments)
        return record.getMessage() if once.filter(record) else None

    assert write("closed %s", "a") == "closed a"
    assert [write("closed %s", name) for name in "bcd"] == [None, None, None]
    assert write("refused") == "refused"
    now = MINUTE_S
    assert write("closed %s", "e") == "closed e (3 more since the last such line)"
    now = 2 * MINUTE_S
    assert write("closed %s", "f") == "closed f"


def test_what_is_remembered_of_messages_is_bounded() -> None:
    once = OncePerMinute(lambda: 0.0)

    for number in range(10 * MOST_MESSAGES):
        assert once.filter(make_record(f"new {number}"))

    assert not once.filter(make_record(f"new {number}"))
    assert once.filter(make_record("new 0"))
