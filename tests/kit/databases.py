"""Databases of their own for tests."""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from storage.embedded.postgres import EmbeddedPostgres
from tests.kit.folders import make_temporary_folder


def skip_syncing(url: str) -> None:
    """Have this server leave the disk to the operating system: each copy and drop of a database would wait for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def copy_database(template_url: str) -> Iterator[str]:
    """Yield the URL of a copy of this database, which is dropped when the block ends."""
    template = make_url(template_url)
    name = f"test_{uuid.uuid4().hex}"
    admin = template.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        # Without `fsync` it is quicker to copy the files than to write them through the log. PostgreSQL 14 always does.
        strategy = "STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" {strategy}')
        try:
            yield template.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def start_postgres(programs: Path) -> Iterator[str]:
    """Yield the URL of an empty database on a server of these programs, which ends with the block."""
    with make_temporary_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", secrets.token_urlsafe(), programs)
        try:
            url = server.start()
            skip_syncing(url)
            with psycopg.connect(url, autocommit=True) as connection:
                # As it is from PostgreSQL 15 on.
                connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            yield url
        finally:
            server.stop()
