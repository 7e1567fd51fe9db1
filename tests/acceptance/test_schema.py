"""Commands and programs on configured servers whose schema is not compatible."""

import pytest
from alembic import command
from sqlalchemy import Engine

from storage.schema_version import build_alembic_config, find_newest_revision, read_revision
from tests.kit.command import run_starlight
from tests.kit.rows import execute

COMMANDS = (["jobs"], ["worker"], ["dispatcher"], ["api"], ["exporter"])


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_but_the_upgrade_touches_an_older_schema(
    arguments: list[str], engine: Engine, database_url: str, redis_url: str
) -> None:
    command.downgrade(build_alembic_config(engine), "0006")

    refused = run_starlight(*arguments, settings={"database_url": database_url, "redis_url": redis_url})

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "schema 0006 is older than this code" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert read_revision(engine) == "0006"


def test_the_upgrade_is_a_command(engine: Engine, database_url: str, redis_url: str) -> None:
    command.downgrade(build_alembic_config(engine), "0006")

    upgraded = run_starlight("db", "upgrade", settings={"database_url": database_url, "redis_url": redis_url})

    assert (upgraded.returncode, upgraded.stdout) == (0, "the schema is up to date\n")
    assert read_revision(engine) == find_newest_revision()


def test_who_is_too_old_for_a_schema_is_told_so(engine: Engine, database_url: str, redis_url: str) -> None:
    execute(engine, "UPDATE alembic_version SET version_num = '9998'")
    execute(engine, "UPDATE schema_support SET oldest_code = '9998'")

    refused = run_starlight("jobs", settings={"database_url": database_url, "redis_url": redis_url})

    assert refused.returncode == 2
    assert "is newer than this code" in refused.stderr
