"""docker/healthcheck.py ends a program that does not do its work, but not one that waits for something else."""

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from tests.kit.threads import PATIENCE_S

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"


@pytest.fixture
def program() -> "Iterator[subprocess.Popen[bytes]]":
    """A program that ignores SIGTERM, as a hanging one does."""
    command = ["sh", "-c", "trap '' TERM; echo ready; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running
        running.kill()


@pytest.fixture
def healthcheck(program: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as in a container with this program that was started long ago."""
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(module, "find_program", lambda: program.pid)
    monkeypatch.setattr(module, "read_container_age_s", lambda: 1000.0)
    return module


@pytest.fixture
def answer(healthcheck: ModuleType) -> Iterator[Callable[[int], None]]:
    """Return a function that sets the status of the program's answers."""
    status = 200

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    url = f"http://127.0.0.1:{server.server_port}/health"
    healthcheck.CHECKS["api"] = lambda: b'"status"' in healthcheck.fetch(url)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})

    def set_status(new: int) -> None:
        nonlocal status
        status = new

    thread.start()
    yield set_status
    server.shutdown()
    server.server_close()
    thread.join()


def refuse() -> bool:
    raise ConnectionRefusedError


def test_a_program_that_hangs_is_ended_at_the_third_check_gently_and_then_for_good(
    healthcheck: ModuleType, program: "subprocess.Popen[bytes]"
) -> None:
    healthcheck.CHECKS["api"] = refuse

    assert [healthcheck.main("api") for _ in range(3)] == [1, 1, 1]
    assert program.poll() is None
    assert healthcheck.main("api") == 1
    assert program.wait(PATIENCE_S) == -9


def test_a_check_that_is_well_forgets_earlier_ones(
    healthcheck: ModuleType, program: "subprocess.Popen[bytes]", answer: Callable[[int], None]
) -> None:
    answers = healthcheck.CHECKS["api"]
    for check, wanted in ((refuse, 1), (refuse, 1), (refuse, 1), (answers, 0), (refuse, 1), (refuse, 1), (refuse, 1)):
        healthcheck.CHECKS["api"] = check
        assert healthcheck.main("api") == wanted

    assert program.poll() is None


def test_what_others_are_to_blame_for_ends_nobody(
    healthcheck: ModuleType, program: "subprocess.Popen[bytes]", answer: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answer(503)
    # No server listens on this port.
    monkeypatch.setenv("STARLIGHT_DATABASE_URL", "postgresql://127.0.0.1:1/none")

    assert [healthcheck.main(name) for name in ("api", "dispatcher") * 4] == [1] * 8
    assert program.poll() is None


def test_a_program_has_time_to_start(
    healthcheck: ModuleType, program: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck, "read_container_age_s", lambda: 60.0)
    healthcheck.CHECKS["api"] = refuse

    assert [healthcheck.main("api") for _ in range(6)] == [1] * 6
    assert program.poll() is None


def test_a_canary_behind_a_pooler_that_shows_no_names_is_left_alone(
    healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARLIGHT_DATABASE_DIRECT_URL", "postgresql://127.0.0.1:1/none")

    assert healthcheck.main("canary") == 0
    assert healthcheck.main("dispatcher") == 1
