"""The migrations and the schema in the code say the same."""

from concurrent.futures import ThreadPoolExecutor

from alembic import command
from sqlalchemy import Engine, inspect

from storage.database import connect, migrations, upgrade


def test_the_newest_migration_is_the_schema_in_the_code(engine: Engine) -> None:
    command.check(migrations(engine))


def test_upgrading_from_several_processes_at_once_is_safe(database_url: str) -> None:
    engine = connect(database_url)
    command.downgrade(migrations(engine), "base")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade(connect(database_url)), range(4)))

    command.check(migrations(engine))
    engine.dispose()


def test_downgrading_leaves_nothing_behind(engine: Engine) -> None:
    command.downgrade(migrations(engine), "base")

    assert inspect(engine).get_table_names() == ["alembic_version"]
