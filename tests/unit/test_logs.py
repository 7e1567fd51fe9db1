"""Logs: one line per record, as text or JSON; repeated messages are counted."""

import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from structlog.contextvars import bound_contextvars

from starlight_vocabulary.escaping import escape
from storage.log_lines import make_formatter
from storage.log_repeats import MINUTE_S, MOST_MESSAGES, MOST_PER_MINUTE, Repeats
from storage.logs import LineHandler
from tests.kit.threads import PATIENCE_S
from worker.scanning.fair_threads import FairThreads

FORGED = "all is well\n2026-11-25T12:00:00.000Z INFO worker: \x1b[2Jnothing happened\r\u202e"
FACTS = {"program": "worker", "device": "cpu0"}
STRANGER = "producer.api.refusals"


class ForgedError(Exception):
    """An error whose text comes from outside."""


def make_record(
    message: str,
    *arguments: object,
    error: BaseException | None = None,
    name: str = "storage",
    level: int = logging.WARNING,
    **extra: object,
) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord(name, level, __file__, 1, message, arguments, exc_info)
    record.created = 0.25
    record.__dict__.update(extra)
    return record


def write_text(record: logging.LogRecord) -> str:
    return make_formatter("text", FACTS).format(record)


def write_json(record: logging.LogRecord) -> dict[str, Any]:
    line = make_formatter("json", FACTS).format(record)
    assert line.isascii()
    assert line.isprintable()
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_line_says_when_how_bad_who_what_and_what_it_is_about() -> None:
    with bound_contextvars(chunk="C", job="J"):
        line = write_text(make_record("scanned %d", 5, images=5, name="worker.process", level=logging.INFO))

    assert line == "1970-01-01T00:00:00.250Z INFO worker: scanned 5  job=J chunk=C device=cpu0 images=5"


def test_json_has_the_same_and_the_module() -> None:
    with bound_contextvars(chunk="C", job="J"):
        told = write_json(make_record("scanned %d", 5, images=5, name="worker.process"))

    assert told == {
        "time": "1970-01-01T00:00:00.250Z", "level": "WARNING", "program": "worker", "device": "cpu0",
        "logger": "worker.process", "event": "scanned 5", "job": "J", "chunk": "C", "images": 5,
    }  # fmt: skip


def test_what_libraries_have_beside_their_message_is_not_told() -> None:
    assert "secret" not in write_text(make_record("connected", name="celery.worker", data={"key": "secret"}))


def test_a_time_is_told_in_utc_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    line = write_text(make_record("read"))
    monkeypatch.undo()
    time.tzset()

    assert line.startswith("1970-01-01T00:00:00.250Z ")


def test_a_message_is_one_line_and_steers_nothing() -> None:
    with bound_contextvars(job=FORGED):
        line = write_text(make_record("read %s", FORGED, path=FORGED))
        told = write_json(make_record("read %s", FORGED, path=FORGED))

    assert line.isprintable()
    assert line.startswith("1970-01-01T00:00:00.250Z WARNING worker: read all is well\\n2026-11-25T")
    assert [told["event"], told["job"], told["path"]] == [f"read {escape(FORGED)}", escape(FORGED), escape(FORGED)]


def test_no_line_of_a_traceback_looks_like_a_record() -> None:
    with pytest.raises(ForgedError) as raised:
        raise ForgedError(FORGED)

    text = write_text(make_record("failed", error=raised.value))
    told = write_json(make_record("failed", error=raised.value))

    first, second, *more = text.split("\n")
    assert first.endswith("failed  device=cpu0")
    assert second == "Traceback (most recent call last):"
    assert len(more) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in more)
    assert told["exception"] == "\n".join([second, *more])


def test_what_a_chunk_has_done_by_other_threads_is_told_of_that_chunk() -> None:
    threads = FairThreads(2, "reader")
    try:
        with bound_contextvars(chunk="C"):
            read: Future[str] = threads.submit("ann", lambda: write_text(make_record("read")))
        assert read.result(PATIENCE_S).endswith("read  chunk=C device=cpu0")
    finally:
        threads.stop()


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(clock: Clock) -> Repeats:
    return Repeats([STRANGER], clock)


def count_admitted(repeats: Repeats, number: int, **of: Any) -> int:
    return sum(repeats.admit(make_record("closed %s", each, **of))[0] for each in range(number))


def test_what_strangers_cause_is_written_once_a_minute_and_then_counted(clock: Clock, repeats: Repeats) -> None:
    assert count_admitted(repeats, 300, name=STRANGER) == 1
    assert repeats.admit(make_record("refused", name=STRANGER))[0]
    assert repeats.end_minutes() == []

    clock.now = MINUTE_S

    (told,) = repeats.end_minutes()
    assert told.getMessage() == "299 more such lines were held back, the last: closed 299"
    assert (told.name, told.levelno) == (STRANGER, logging.WARNING)
    assert repeats.admit(make_record("closed %s", "again", name=STRANGER))[0]


def test_other_warnings_come_more_often_and_what_is_no_warning_always(repeats: Repeats) -> None:
    assert count_admitted(repeats, 2 * MOST_PER_MINUTE) == MOST_PER_MINUTE
    assert count_admitted(repeats, 2 * MOST_PER_MINUTE, level=logging.INFO) == 2 * MOST_PER_MINUTE


def test_what_is_remembered_of_messages_is_bounded_and_told_when_it_is_forgotten(repeats: Repeats) -> None:
    count_admitted(repeats, 3, name=STRANGER)

    told = [line for number in range(10 * MOST_MESSAGES) for line in repeats.admit(make_record(f"new {number}"))[1]]

    assert [line.getMessage() for line in told] == ["2 more such lines were held back, the last: closed 2"]
    assert not repeats.end_all()


@pytest.fixture
def written() -> Iterator[tuple[LineHandler, io.StringIO]]:
    stream = io.StringIO()
    handler = LineHandler(stream, "text", FACTS, [STRANGER])
    yield handler, stream
    handler.close()


def test_what_was_held_back_is_told_at_the_end_and_of_no_request(written: tuple[LineHandler, io.StringIO]) -> None:
    handler, stream = written
    with bound_contextvars(request="R"):
        for each in range(3):
            handler.handle(make_record("closed %s", each, name=STRANGER))

        handler.close()

    first, last = stream.getvalue().splitlines()
    assert first.endswith("closed 0  device=cpu0 request=R")
    assert last.endswith("2 more such lines were held back, the last: closed 2  device=cpu0")


def test_lines_are_json_where_nobody_reads_and_text_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert LineHandler(io.StringIO(), "auto", FACTS, ()).style == "json"
    assert LineHandler(Terminal(), "auto", FACTS, ()).style == "text"
    assert LineHandler(Terminal(), "json", FACTS, ()).style == "json"


def test_a_decoding_process_does_without_structlog_until_it_has_something_to_log() -> None:
    program = (
        "import sys, worker.scanning.decoding_process as decoding; decoding.set_up_logging('decoder', style='text'); "
        "print('structlog' in sys.modules); decoding.log.warning('x'); print('structlog' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["False", "True"]
    assert run.stderr.endswith(" WARNING decoder: x\n")
