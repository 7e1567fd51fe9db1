"""The embedded servers, on a machine without other servers."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from storage.embedded.postgres import EmbeddedPostgres, EmbeddedServerError
from storage.embedded.redis import EmbeddedRedis, find_program
from storage.embedded.servers import EmbeddedServers, provide_servers
from storage.settings import Settings

HOLD = """
import sys
from pathlib import Path
from storage.embedded.servers import EmbeddedServers
from storage.settings import Settings
print(*EmbeddedServers(Settings(data_dir=Path(sys.argv[1]))).attach(), flush=True)
sys.stdin.read()
"""


def query(url: str) -> int:
    with psycopg.connect(url) as connection:
        version = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
    assert version is not None
    return int(version[0])


def test_fresh_servers_answer_with_a_password_and_refuse_without(data_dir: Path) -> None:
    with provide_servers(Settings(data_dir=data_dir)) as addresses:
        assert query(addresses.database_url) >= 180000
        assert redis.Redis.from_url(addresses.redis_url).ping()

        with pytest.raises(psycopg.OperationalError, match="password"):
            query(addresses.database_url.replace("starlight:", "starlight:x"))
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=redis.Redis.from_url(addresses.redis_url).get_connection_kwargs()["port"]).ping()


def test_two_starts_at_once_share_one_pair_of_servers(data_dir: Path) -> None:
    first, second = EmbeddedServers(Settings(data_dir=data_dir)), EmbeddedServers(Settings(data_dir=data_dir))
    with ThreadPoolExecutor() as pool:
        urls = list(pool.map(lambda each: each.attach(), [first, second]))

    assert urls[0] == urls[1]
    first.detach()
    assert query(urls[0][0])
    second.detach()
    with pytest.raises(psycopg.OperationalError):
        query(urls[0][0])


def test_servers_and_data_survive_the_death_of_the_process_that_started_them(data_dir: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    database_url, redis_url = parent.stdout.readline().split()
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()

    assert query(database_url)
    assert redis.Redis.from_url(redis_url).ping()
    after = EmbeddedServers(Settings(data_dir=data_dir))
    assert after.attach() == (database_url, redis_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    after.detach()


def test_restarted_servers_keep_their_addresses_and_their_data(data_dir: Path) -> None:
    servers_of_folder = EmbeddedServers(Settings(data_dir=data_dir))
    before = servers_of_folder.attach()
    redis.Redis.from_url(str(before[1])).set("kept", "yes")
    servers_of_folder.detach()

    after = servers_of_folder.attach()

    assert after == before
    assert redis.Redis.from_url(str(after[1])).get("kept") == b"yes"
    servers_of_folder.detach()


def test_servers_in_use_are_not_stopped(data_dir: Path) -> None:
    user = EmbeddedServers(Settings(data_dir=data_dir))
    database_url, _ = user.attach()
    assert database_url is not None

    assert EmbeddedServers(Settings(data_dir=data_dir)).stop() is None
    assert query(database_url)

    user.detach()
    assert EmbeddedServers(Settings(data_dir=data_dir)).stop() == 0


@pytest.fixture
def redis_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for an embedded Redis, which is stopped after the test."""
    yield tmp_path
    EmbeddedRedis(tmp_path, "password").stop()


def name_running_program(url: str) -> Path:
    return Path(redis.Redis.from_url(url).info("server")["executable"])


def test_a_redis_of_the_machine_is_not_used_by_itself(redis_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis-server", "valkey-server"):
        (redis_folder / name).symlink_to(find_program(None))
    monkeypatch.setenv("PATH", str(redis_folder), prepend=os.pathsep)

    assert name_running_program(EmbeddedRedis(redis_folder, "password").start()) == find_program(None)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_server_that_is_asked_for_runs(redis_folder: Path, monkeypatch: pytest.MonkeyPatch, by_path: bool) -> None:
    program = redis_folder / "redis-server"
    program.symlink_to(find_program(None))
    monkeypatch.setenv("PATH", str(redis_folder), prepend=os.pathsep)
    monkeypatch.setenv("STARLIGHT_REDIS_SERVER", str(program) if by_path else program.name)

    embedded = EmbeddedRedis(redis_folder, "password", Settings().redis_server)

    assert name_running_program(embedded.start()) == program


def test_a_server_that_ends_while_it_is_looked_at_is_an_error(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = EmbeddedPostgres(data_dir / "postgres", "secret")
    postgres.data.mkdir(parents=True)
    (postgres.data / "PG_VERSION").touch()
    monkeypatch.setattr(postgres, "_runs", lambda: True)

    with pytest.raises(EmbeddedServerError, match="ended while we connected"):
        postgres.start()


def test_a_setting_of_the_server_reaches_it(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, redis_server=Path("no-such-server"))

    with (
        pytest.raises(EmbeddedServerError, match="STARLIGHT_REDIS_SERVER names no-such-server"),
        provide_servers(settings),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, None, "names .*server, which is not a program on this machine"),
        ("no program", 0o600, "names .*server, which is not a program on this machine"),
        ("no program", 0o700, "cannot run as the embedded Redis: Exec format error; .* STARLIGHT_REDIS_SERVER"),
        ("#!/bin/sh\necho Missing library >&2; exit 3\n", 0o700, "server did not start.*Missing library"),
    ],
)
def test_a_server_that_cannot_run_is_named(
    redis_folder: Path, content: str | None, mode: int | None, message: str
) -> None:
    program = redis_folder / "server"
    if content is not None and mode is not None:
        program.write_text(content)
        program.chmod(mode)

    with pytest.raises(EmbeddedServerError, match=f"(?s){message}"):
        EmbeddedRedis(redis_folder, "password", program).start()


def test_the_file_of_an_older_server_is_read(redis_folder: Path) -> None:
    # The format of Redis 6.2; later releases have a folder instead.
    (redis_folder / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$4\r\nkept\r\n$3\r\nyes\r\n")

    url = EmbeddedRedis(redis_folder, "password").start()

    assert redis.Redis.from_url(url).get("kept") == b"yes"


def test_the_file_of_a_newer_server_is_an_error_that_says_what_to_delete(redis_folder: Path) -> None:
    embedded = EmbeddedRedis(redis_folder, "password")
    embedded.start()
    embedded.stop()
    (base,) = (redis_folder / "appendonlydir").glob("*.base.rdb")
    base.write_bytes(b"VALKEY999" + base.read_bytes()[9:])

    with pytest.raises(EmbeddedServerError, match=f"delete {redis_folder}; this costs only time") as raised:
        embedded.start()

    assert "Can't handle RDB format version 999" in str(raised.value)
    shutil.rmtree(redis_folder)
    assert redis.Redis.from_url(embedded.start()).ping()
