"""Text from outside that would control a terminal or start a new line."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from producer.cli.output import Format
from starlight_vocabulary.verdict import EXAMPLE
from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment, run_starlight
from tests.kit.servers import serve

# Clears a terminal, reverses what follows, and starts a new line.
STEERING = "\x1b[2J\x9b2J\u202e\x07\r\nstarlight: all is well"
JOB_ID = EXAMPLE["job_id"]
JOB = {
    "id": JOB_ID, "name": STEERING, "submitter": STEERING, "priority": STEERING, "threshold": None, "state": STEERING,
    "total": 2, "finished": 1, "clean": 1, "stego": 0, "error": 0, "created_at": EXAMPLE["scanned_at"],
    "started_at": None, "finished_at": None, "retry_of": None, "images_per_minute": None,
    "seconds_left": None, "links": {"job": "", "verdicts": "", "events": ""},
}  # fmt: skip
WORDS = ("uri", "outcome", "stego_type", "bit_order", "extracted_message", "error_code", "error_detail")
VERDICTS = {"verdicts": [{**EXAMPLE, **dict.fromkeys(WORDS, STEERING), "uri": f"file:///{STEERING}"}], "next": None}
REFUSAL = {"status": 403, "title": STEERING, "detail": STEERING}


class HostileApi(BaseHTTPRequestHandler):
    """Answers with records that contain control characters in every text."""

    def do_GET(self) -> None:
        answers: dict[str, tuple[int, Any]] = {
            "/v1/jobs": (200, {"jobs": [JOB], "next": None}), f"/v1/jobs/{JOB_ID}": (200, JOB),
            "/v1/verdicts": (200, VERDICTS),
        }  # fmt: skip
        status, document = answers.get(self.path.partition("?")[0], (403, REFUSAL))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the library
        """Log nothing."""


@pytest.fixture
def hostile() -> Iterator[dict[str, object]]:
    """Settings of a command that uses a hostile API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileApi)
    with serve(server):
        yield {"server": f"http://127.0.0.1:{server.server_port}", "key": "any"}


def assert_harmless(text: str) -> None:
    """Check that the text has no control characters, and that only our own text starts lines."""
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines), text
    assert not any(line.startswith("starlight: all is well") for line in lines), text
    assert "all is well" in text


@pytest.mark.parametrize(
    "arguments",
    [("jobs",), ("job", JOB_ID), ("verdicts",), ("verdicts", "--job", JOB_ID)],
    ids=["jobs", "job", "verdicts", "a refusal"],
)
def test_nothing_that_a_server_says_steers_a_terminal(hostile: dict[str, object], arguments: tuple[str, ...]) -> None:
    run = run_starlight(*arguments, settings=hostile)

    assert run.returncode in (0, 2)
    assert_harmless(run.stdout + run.stderr)


@pytest.mark.parametrize("chosen", [each for each in Format if each is not Format.PARQUET])
def test_no_format_steers_a_terminal(hostile: dict[str, object], chosen: Format) -> None:
    terminal, inner = pty.openpty()
    # Without colours, every escape sequence comes from the server.
    environment = {**make_environment(hostile), "TERM": "dumb", "COLUMNS": "2000"}
    with subprocess.Popen(
        [*STARLIGHT, "verdicts", "--format", chosen], stdout=inner, stderr=subprocess.PIPE, env=environment
    ) as command:
        os.close(inner)
        text = b"".join(read_terminal(terminal)).decode().replace("\r\n", "\n")
        assert command.wait(TIMEOUT_S) == 0
    os.close(terminal)

    assert_harmless(text)


def read_terminal(terminal: int) -> Iterator[bytes]:
    """Yield what is written to the terminal until its last writer ends."""
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:
            return


def test_csv_in_a_file_has_every_byte(hostile: dict[str, object]) -> None:
    run = run_starlight("verdicts", "--format", "csv", settings=hostile)

    assert STEERING.replace("\r\n", "\n") in run.stdout.replace("\r\n", "\n")


@pytest.mark.parametrize("command", [("submit",), ("job",), ("model", "add"), ("verdicts", "--outcome")])
def test_no_argument_steers_the_terminal_of_who_is_told_of_it(
    hostile: dict[str, object], command: tuple[str, ...]
) -> None:
    run = run_starlight(*command, f"/nowhere/{STEERING}", settings=hostile)

    assert run.returncode == 2
    assert "nowhere" in run.stderr
    assert_harmless(run.stderr)
