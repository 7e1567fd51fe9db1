"""Waits for changes that other threads and processes make in the database."""

from collections.abc import Callable

import psycopg
from sqlalchemy import Engine

from tests.kit.rows import execute
from tests.kit.threads import PATIENCE_S

CHANNEL = "test_changes"


def wait_for_change(engine: Engine, table: str, condition: Callable[[], bool]) -> None:
    """Return once the condition holds; it is checked now and after every statement that writes to the table."""
    execute(
        engine,
        f"""
            CREATE FUNCTION tell_test() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN NOTIFY {CHANNEL}; RETURN NULL; END $$;
            CREATE TRIGGER tell_test AFTER INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION tell_test()
        """,
    )
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            if not condition():
                assert any(condition() for _ in connection.notifies(timeout=PATIENCE_S)), f"waited in vain for {table}"
    finally:
        execute(engine, "DROP FUNCTION tell_test CASCADE")
