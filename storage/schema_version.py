"""Compatibility of the database's schema and this code, and running the migrations.

The revision of a schema is its latest migration; that of the code is the latest one it includes. Code works
on a newer schema as long as `schema_support` allows it: old and new processes run side by side in an upgrade.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from storage.database import bypass_pooler, connect_to_read

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x53544152
OLDEST_POSTGRESQL = 140000


class SchemaError(RuntimeError):
    """The schema of the database does not fit this code; the message says which is older and what to do."""


def check_schema(engine: Engine) -> None:
    """Raise SchemaError unless this code works on the schema; changes nothing."""
    found, needed = read_revision(engine), find_newest_revision()
    if found == needed:
        return
    if found is None:
        raise SchemaError("the database has no schema yet: run `starlight db upgrade`")
    if found < needed:
        raise SchemaError(
            f"the database's schema {found} is older than this code, which needs {needed}: run `starlight db upgrade`"
        )
    oldest = read_oldest_code(engine)
    if needed < oldest:
        raise SchemaError(
            f"the database's schema {found} is newer than this code ({needed}) and needs code of {oldest} or newer: "
            "install the release of Starlight that the other processes run"
        )


def upgrade_schema(engine: Engine) -> None:
    """Migrate the schema to the latest revision; concurrent calls wait for each other.

    Raises SchemaError if the schema is too new for this code, or the server is not suitable.
    """
    found, needed = read_revision(engine), find_newest_revision()
    if found is not None and found >= needed:
        check_schema(engine)
        return
    _check_server(engine)
    # Imported here, because few commands migrate, and importing Alembic takes longer than they run.
    from alembic import command

    with bypass_pooler(engine) as direct, direct.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        try:
            command.upgrade(build_alembic_config(direct), "head")
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})")


# The server's version as 180000 and as text, the database's encoding, and whether it can fold case by Unicode.
READ_SERVER = text("""
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS named,
        current_setting('server_encoding') AS encoding,
        EXISTS (SELECT FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')) AS folds
""")


def _check_server(engine: Engine) -> None:
    with connect_to_read(engine) as connection:
        server = connection.execute(READ_SERVER).one()
    if server.version < OLDEST_POSTGRESQL:
        raise SchemaError(f"this is PostgreSQL {server.named}; Starlight needs 14 or newer")
    if server.encoding != "UTF8":
        raise SchemaError(
            f"the database's encoding is {server.encoding}: create another with "
            "`CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0`"
        )
    if not server.folds:
        raise SchemaError(f"this PostgreSQL {server.named} was built without ICU: use one with ICU, or 17 or newer")


def build_alembic_config(engine: Engine) -> "Config":
    """Return Alembic's configuration for this database."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def find_newest_revision() -> str:
    """Return the revision of this code: migration files are named by ascending revisions."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


# The schema's revision, from Alembic's table.
READ_REVISION = text("SELECT version_num FROM alembic_version")


def read_revision(engine: Engine) -> str | None:
    """Return the revision of the schema, None if there is no schema."""
    with connect_to_read(engine) as connection:
        try:
            revision: str | None = connection.execute(READ_REVISION).scalar()
        except ProgrammingError as error:
            if not isinstance(error.orig, psycopg.errors.UndefinedTable):
                raise
            return None
    return revision


# The oldest revision whose code works on the schema.
READ_OLDEST_CODE = text("SELECT oldest_code FROM schema_support")


def read_oldest_code(engine: Engine) -> str:
    """Return the oldest revision whose code works on the schema."""
    with connect_to_read(engine) as connection:
        return str(connection.execute(READ_OLDEST_CODE).scalar_one())
