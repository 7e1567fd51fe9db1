"""The migrations and the schema in the code say the same."""

from concurrent.futures import ThreadPoolExecutor

from alembic import command
from sqlalchemy import Engine, inspect

from storage.database import connect
from storage.schema_version import build_alembic_config, upgrade_schema


def test_the_newest_migration_is_the_schema_in_the_code(engine: Engine) -> None:
    command.check(build_alembic_config(engine))


def test_upgrading_from_several_processes_at_once_is_safe(database_url: str) -> None:
    engine = connect(database_url)
    command.downgrade(build_alembic_config(engine), "base")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade_schema(connect(database_url)), range(4)))

    command.check(build_alembic_config(engine))
    engine.dispose()


def test_downgrading_leaves_nothing_behind(engine: Engine) -> None:
    command.downgrade(build_alembic_config(engine), "base")

    assert inspect(engine).get_table_names() == ["alembic_version"]
