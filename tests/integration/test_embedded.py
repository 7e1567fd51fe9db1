"""The embedded servers, as a machine without servers meets them."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from storage.embedded.servers import EmbeddedServers, servers
from storage.settings import Settings

HOLD = """
import sys
from pathlib import Path
from storage.embedded.servers import EmbeddedServers
print(*EmbeddedServers(Path(sys.argv[1])).attach(), flush=True)
sys.stdin.read()
"""


def query(url: str) -> int:
    with psycopg.connect(url) as connection:
        version = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
    assert version is not None
    return int(version[0])


def test_fresh_servers_answer_with_a_password_and_refuse_without(data_dir: Path) -> None:
    with servers(Settings(data_dir=data_dir)) as addresses:
        assert query(addresses.database_url) >= 180000
        assert redis.Redis.from_url(addresses.redis_url).ping()

        with pytest.raises(psycopg.OperationalError, match="password"):
            query(addresses.database_url.replace("starlight:", "starlight:x"))
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=redis.Redis.from_url(addresses.redis_url).get_connection_kwargs()["port"]).ping()


def test_two_starts_at_once_share_one_pair_of_servers(data_dir: Path) -> None:
    first, second = EmbeddedServers(data_dir), EmbeddedServers(data_dir)
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
    after = EmbeddedServers(data_dir)
    assert after.attach() == (database_url, redis_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    after.detach()


def test_restarted_servers_keep_their_addresses_and_their_data(data_dir: Path) -> None:
    servers_of_folder = EmbeddedServers(data_dir)
    before = servers_of_folder.attach()
    redis.Redis.from_url(str(before[1])).set("kept", "yes")
    servers_of_folder.detach()

    after = servers_of_folder.attach()

    assert after == before
    assert redis.Redis.from_url(str(after[1])).get("kept") == b"yes"
    servers_of_folder.detach()


def test_servers_in_use_are_not_stopped(data_dir: Path) -> None:
    user = EmbeddedServers(data_dir)
    database_url, _ = user.attach()
    assert database_url is not None

    assert not EmbeddedServers(data_dir).stop()
    assert query(database_url)

    user.detach()
    assert EmbeddedServers(data_dir).stop()
