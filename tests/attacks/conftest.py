"""The API as a process of its own, on the real database and Redis."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from storage.embedded.ports import find_free_port
from storage.keys import create_key
from tests.kit.output import Output
from tests.kit.programs import read_peak_bytes, read_processor_seconds, run_program
from tests.kit.tardy_server import TardyServer, serve_tardily
from tests.kit.threads import PATIENCE_S

# Writes a measured figure beside a test's result, for `scripts/attacks`.
Record = Callable[[str, object], None]


@contextmanager
def record_costs(process_id: int, record: Record) -> Iterator[None]:
    """Record what the block costs a process: bytes added to its peak, and seconds of processor time."""
    bytes_before, seconds_before = read_peak_bytes(process_id), read_processor_seconds(process_id)
    yield
    record("added_bytes", read_peak_bytes(process_id) - bytes_before)
    record("processor_s", read_processor_seconds(process_id) - seconds_before)


@dataclass(frozen=True)
class ServedApi:
    """The API's process, its log, its port on the loopback interface, and a key that may submit and read."""

    process: "subprocess.Popen[str]"
    log: Output
    port: int
    key: str

    def connect(self) -> httpx.Client:
        """Return a client that sends the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE_S)

    def read_peak_bytes(self) -> int:
        """Return the most memory that the process has had."""
        return read_peak_bytes(self.process.pid)


@pytest.fixture
def tardy() -> Iterator[TardyServer]:
    """A server that keeps whoever asks it waiting."""
    with serve_tardily() as server:
        yield server


@pytest.fixture
def limits() -> dict[str, object]:
    """Settings of the API that a module sets itself."""
    return {}


@pytest.fixture
def served(
    engine: Engine,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    limits: dict[str, object],
    record_property: Record,
) -> Iterator[ServedApi]:
    """Serve the API while the test lasts."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is measured in /proc, which is not here")
    port = find_free_port()
    settings = {"database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path, "api_port": port, **limits}
    until = f"running on http://127.0.0.1:{port}"
    with (
        run_program("-m", "producer.api", settings=settings, until=until) as api,
        record_costs(api.process.pid, record_property),
    ):
        yield ServedApi(api.process, api.log, port, create_key(engine, "ann", ["submit", "read"]))
