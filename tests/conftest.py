"""Real servers for the tests: one PostgreSQL and one Redis for all, and a separate database for each test."""

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
import redis
from sqlalchemy import Engine
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from storage.bucket_stores import open_bucket
from storage.database import connect
from storage.embedded.servers import EmbeddedServers
from storage.schema_version import upgrade_schema
from storage.settings import Settings, read_settings
from tests.kit.databases import copy_database, skip_syncing, start_postgres
from tests.kit.folders import make_temporary_folder
from tests.kit.object_store import ObjectStore, serve_objects
from tests.kit.scheduling import StackScheduling

# Examples depend only on the tests and the code: a failure appears with the change that causes it, not some time later.
hypothesis.settings.register_profile("suite", derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the PostgreSQL that the tests use."""
    parser.addoption(
        "--postgresql", type=Path, help="folder of the programs of another PostgreSQL for the tests' databases"
    )


def pytest_collection() -> None:
    """Pause garbage collection while all modules are imported, which creates almost no garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the modules, most of all objects, from later collections, since they stay."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """With several processes, run all tests that use the running stack in the same one."""
    return StackScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> None:
    """Remove the machine's own settings, so that tests behave the same everywhere."""
    for name in [name for name in os.environ if name.startswith(("STARLIGHT_", "OTEL_"))]:
        del os.environ[name]
    read_settings.cache_clear()


@pytest.fixture(scope="session")
def session_servers(pytestconfig: pytest.Config) -> Iterator[tuple[str, str]]:
    """The URLs of PostgreSQL and Redis; the database has the newest schema, and is to be copied."""
    programs: Path | None = pytestconfig.getoption("postgresql")
    with ExitStack() as running:
        folder = running.enter_context(make_temporary_folder())
        database_url = None if programs is None else running.enter_context(start_postgres(programs))
        servers = EmbeddedServers(Settings(data_dir=folder, database_url=database_url))
        embedded_url, redis_url = servers.attach()
        running.callback(servers.detach)
        database_url = database_url or embedded_url
        assert database_url is not None
        assert redis_url is not None
        engine = connect(database_url)
        upgrade_schema(engine)
        engine.dispose()
        skip_syncing(database_url)
        yield database_url, redis_url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data folder."""
    with make_temporary_folder() as folder:
        yield folder


@pytest.fixture
def database_url(session_servers: tuple[str, str]) -> Iterator[str]:
    """The URL of a separate database with the newest schema."""
    with copy_database(session_servers[0]) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a separate database."""
    engine = connect(database_url, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def redis_url(session_servers: tuple[str, str]) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(session_servers[1]) as client:
        client.flushall()
    return session_servers[1]


@pytest.fixture
def configured(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    """Settings with the test's own servers and folders."""
    return Settings(database_url=database_url, redis_url=redis_url, data_dir=tmp_path / "data", submitter="tester")


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An empty object store, which the environment names."""
    with serve_objects() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        open_bucket.cache_clear()
        yield store
        open_bucket.cache_clear()
