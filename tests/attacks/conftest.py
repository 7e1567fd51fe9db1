"""The API in a separate process, on a real database and Redis."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from storage.database import connect
from storage.keys import create_key
from storage.schema import METADATA
from tests.kit.databases import copy_database
from tests.kit.output import Output
from tests.kit.ports import find_free_port
from tests.kit.programs import forget_peak_bytes, read_peak_bytes, read_processor_seconds, run_program
from tests.kit.rows import execute
from tests.kit.tardy_server import TardyServer, serve_tardily
from tests.kit.threads import PATIENCE_S

# Adds a measured figure to a test's result, for `scripts/attacks`.
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
    """The API's process id, log, port on the loopback interface, a submitter's key, database and folder."""

    pid: int
    log: Output
    port: int
    key: str
    engine: Engine
    data_dir: Path

    def connect(self) -> httpx.Client:
        """Return a client that sends the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE_S)

    def read_peak_bytes(self) -> int:
        """Return the peak memory of the process, in bytes."""
        return read_peak_bytes(self.pid)


@pytest.fixture
def tardy() -> Iterator[TardyServer]:
    """A server that makes its clients wait."""
    with serve_tardily() as server:
        yield server


@pytest.fixture(scope="module")
def limits() -> dict[str, object]:
    """Settings of the API; a module may override them."""
    return {}


@contextmanager
def serve_api(servers: tuple[str, str], data_dir: Path, limits: Mapping[str, object]) -> Iterator[ServedApi]:
    """Serve the API on a separate database within the block; yield it with a key."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is measured by /proc, which this system lacks")
    port = find_free_port()
    until = f"running on http://127.0.0.1:{port}"
    with copy_database(servers[0]) as database_url:
        addresses = {"database_url": database_url, "redis_url": servers[1]}
        settings = {**addresses, "data_dir": data_dir, "api_port": port, **limits}
        engine = connect(database_url)
        key = create_key(engine, "ann", ["submit", "read"])
        with run_program("-m", "producer.api", settings=settings, until=until) as api:
            yield ServedApi(api.pid, api.log, port, key, engine, data_dir)
        engine.dispose()


@pytest.fixture(scope="module")
def serving(
    session_servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory, limits: dict[str, object]
) -> Iterator[ServedApi]:
    """The API, shared by the tests of a module."""
    with serve_api(session_servers, tmp_path_factory.mktemp("data"), limits) as api:
        yield api


@pytest.fixture
def served(serving: ServedApi, record_property: Record) -> Iterator[ServedApi]:
    """The API, with a database that is empty except for a key."""
    emptied = ", ".join(METADATA.tables.keys() - {"schema_support"})
    execute(serving.engine, f"TRUNCATE {emptied}")
    forget_peak_bytes(serving.pid)
    with record_costs(serving.pid, record_property):
        yield replace(serving, key=create_key(serving.engine, "ann", ["submit", "read"]))
