"""When `starlight up` prints `ready`, and what it prints if a stack does not get ready."""

import socket

import pytest
from sqlalchemy import Engine

from producer.cli import starting
from producer.cli.installation import Installation
from producer.cli.starting import Listener, StackStart
from storage.embedded.servers import Servers
from storage.models import register_model
from storage.settings import Settings
from storage.workers import report_worker
from tests.kit.ports import find_free_port
from worker.devices import Device

WORKER = f"cpu0@{socket.gethostname()}"


@pytest.fixture
def current(engine: Engine, configured: Settings) -> Installation:
    assert configured.database_url is not None
    assert configured.redis_url is not None
    return Installation(configured, Servers(configured.database_url, configured.redis_url), engine)


@pytest.fixture
def model_id(engine: Engine) -> int:
    return register_model(engine, name="V4", version="1", sha256="0" * 64, threshold=0.5)


def start(current: Installation, *listeners: Listener) -> StackStart:
    return StackStart(current, [Device.parse("cpu0")], listeners, ["worker cpu0", "api"])


def test_nothing_is_said_until_all_is_ready(
    current: Installation, engine: Engine, model_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # The report of a worker of an earlier stack, which was killed a moment ago.
    report_worker(engine, WORKER, "cpu0", model_id)
    port = find_free_port()
    stack = start(current, Listener("API", "127.0.0.1", port, "/docs", "ann"))
    with socket.create_server(("127.0.0.1", port)):
        stack.watch()
        assert capsys.readouterr().out == ""

        report_worker(engine, WORKER, "cpu0", model_id)
        stack.watch()
        lines = capsys.readouterr().out.splitlines()
        stack.watch()

    assert [line.split()[0] for line in lines] == ["PostgreSQL", "Redis", "API", "Running", "ready"]
    assert lines[2:] == [
        f"API         http://127.0.0.1:{port}/docs as ann", "Running     worker cpu0, api", "ready",
    ]  # fmt: skip
    assert capsys.readouterr().out == ""


def test_what_is_not_ready_for_long_is_named_beside_the_addresses(
    current: Installation,
    engine: Engine,
    model_id: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "PATIENCE_S", 0.0)
    port = find_free_port()
    stack = start(current, Listener("API", "127.0.0.1", port))

    stack.watch()
    stack.watch()

    *_, last = lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert last == "not ready yet: worker cpu0, API; the log says why"
    report_worker(engine, WORKER, "cpu0", model_id)
    with socket.create_server(("127.0.0.1", port)):
        stack.watch()
    assert capsys.readouterr().out == "ready\n"
