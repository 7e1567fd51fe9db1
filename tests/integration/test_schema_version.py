"""Incompatible code and schema: detected, explained, and fixed only by the command for it."""

import pytest
from alembic import command
from sqlalchemy import Engine

from storage.schema_version import (
    SchemaError,
    build_alembic_config,
    check_schema,
    find_newest_revision,
    read_revision,
    upgrade_schema,
)
from tests.kit.rows import execute


def make_newer(engine: Engine, oldest_code: str) -> None:
    """Mark the schema as one of a later release that supports code from `oldest_code` on."""
    execute(engine, "UPDATE alembic_version SET version_num = '9998'")
    execute(engine, f"UPDATE schema_support SET oldest_code = '{oldest_code}'")


def test_the_schema_of_this_code_fits(engine: Engine) -> None:
    check_schema(engine)

    assert read_revision(engine) == find_newest_revision()


def test_a_database_without_schema_is_told_apart(engine: Engine) -> None:
    command.downgrade(build_alembic_config(engine), "base")
    execute(engine, "DROP TABLE alembic_version")

    with pytest.raises(SchemaError, match="no schema yet: run `starlight db upgrade`"):
        check_schema(engine)


def test_an_older_schema_is_refused_and_left_as_it_is(engine: Engine) -> None:
    command.downgrade(build_alembic_config(engine), "0006")

    with pytest.raises(SchemaError, match=r"schema 0006 is older than this code, which needs .*starlight db upgrade"):
        check_schema(engine)

    assert read_revision(engine) == "0006"
    upgrade_schema(engine)
    check_schema(engine)


def test_a_newer_schema_that_bears_this_code_is_used(engine: Engine) -> None:
    make_newer(engine, oldest_code="0006")

    check_schema(engine)
    upgrade_schema(engine)

    assert read_revision(engine) == "9998"


def test_a_newer_schema_that_needs_newer_code_is_refused_and_left_as_it_is(engine: Engine) -> None:
    make_newer(engine, oldest_code="9997")

    for attempt in (check_schema, upgrade_schema):
        with pytest.raises(SchemaError, match=r"schema 9998 is newer than this code .* needs code of 9997 or newer"):
            attempt(engine)

    assert read_revision(engine) == "9998"
