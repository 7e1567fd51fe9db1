"""Databases of their own for tests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url


@contextmanager
def copy_database(template_url: str) -> Iterator[str]:
    """Yield the URL of a copy of this database, which is dropped when the block ends."""
    template = make_url(template_url)
    name = f"test_{uuid.uuid4().hex}"
    admin = template.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}"')
        try:
            yield template.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
