"""Databases for tests."""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from sqlalchemy import Engine, make_url

from storage.embedded.postgres import EmbeddedPostgres
from storage.processes import read_server
from storage.schema_version import build_alembic_config
from tests.kit.folders import make_temporary_folder


def skip_syncing(url: str) -> None:
    """Turn off syncing to disk on this server, which each copy and drop of a database would wait for."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


def compare_with_code(engine: Engine) -> None:
    """Fail if the database's schema differs from the one in the code; does nothing on PostgreSQL 14.

    There, an index replaces a constraint.
    """
    if read_server(engine)[0] >= 150000:
        command.check(build_alembic_config(engine))


@contextmanager
def copy_database(template_url: str) -> Iterator[str]:
    """Yield the URL of a copy of this database, which is dropped when the block ends."""
    template = make_url(template_url)
    name = f"test_{uuid.uuid4().hex}"
    admin = template.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        # Without `fsync`, copying the files is faster than writing them through the WAL. PostgreSQL 14 always copies.
        strategy = "STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" {strategy}')
        try:
            yield template.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def start_postgres(programs: Path) -> Iterator[str]:
    """Yield the URL of an empty database on a server of these programs, which is stopped when the block ends."""
    with make_temporary_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", secrets.token_urlsafe(), programs)
        try:
            url = server.start()
            skip_syncing(url)
            with psycopg.connect(url, autocommit=True) as connection:
                # The default from PostgreSQL 15 on.
                connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            yield url
        finally:
            server.stop()
