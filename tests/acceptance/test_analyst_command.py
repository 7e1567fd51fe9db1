"""`starlight db analyst` on configured servers."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.kit.command import run_starlight


@pytest.fixture
def name(session_servers: tuple[str, str]) -> Iterator[str]:
    """The name of a separate role. Requested before the database, which holds its grants and must be dropped first."""
    name = f"analyst_{uuid.uuid4().hex}"
    yield name
    with psycopg.connect(session_servers[0], autocommit=True) as connection:
        connection.execute(f'DROP ROLE IF EXISTS "{name}"')


def test_the_address_of_an_analyst_is_printed_once(name: str, database_url: str, redis_url: str) -> None:
    settings = {"database_url": database_url, "redis_url": redis_url}

    made = run_starlight("db", "analyst", name, settings=settings)

    assert (made.returncode, made.stderr) == (0, "store it now: the password in it cannot be shown again\n")
    with psycopg.connect(made.stdout.strip()) as connection:
        assert connection.execute("SELECT count(*) FROM verdict").fetchall() == [(0,)]
    again = run_starlight("db", "analyst", name, settings=settings)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == (f"starlight: the analyst {name} exists: choose another name, or use --new-password\n")
    replaced = run_starlight("db", "analyst", name, "--new-password", settings=settings)
    assert replaced.returncode == 0
    psycopg.connect(replaced.stdout.strip()).close()
