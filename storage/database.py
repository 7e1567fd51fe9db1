"""The connection to PostgreSQL, its migrations and its notifications."""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Engine, create_engine, make_url

# Channels. SUBMITTED: chunks wait, no payload. FINISHED: verdicts are stored, "JOB_ID FIRST_ORDINAL COUNT".
SUBMITTED = "starlight_submitted"
FINISHED = "starlight_finished"
MIGRATION_LOCK = 0x53544152
RECONNECT_FIRST_S = 0.2
RECONNECT_LONGEST_S = 15.0

log = logging.getLogger(__name__)


def connect(url: str, *, pool_size: int = 5, application: str = "starlight") -> Engine:
    """Return an engine for a `postgresql://` URL; connections are checked before use and opened when needed."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=2,
        pool_pre_ping=True,
        connect_args={"application_name": application, "connect_timeout": 10},
    )


def migrations(engine: Engine) -> Config:
    """Return Alembic's configuration for this database."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema up to the newest migration; processes that do so at once wait for each other."""
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        try:
            command.upgrade(migrations(engine), "head")
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})")


def notifications(engine: Engine, channels: Sequence[str], timeout_s: float) -> Iterator[set[str]]:
    """Yield the payloads heard on `channels`, and an empty set whenever `timeout_s` passes without any.

    The first set is empty, once we listen, so that what happened before can be looked up. A lost connection is
    opened again with a growing pause and reported by another empty set.
    """
    pause = RECONNECT_FIRST_S
    while True:
        try:
            with _listener(engine, channels) as connection:
                pause = RECONNECT_FIRST_S
                yield set()
                while True:
                    heard = {notice.payload for notice in connection.notifies(timeout=timeout_s, stop_after=1)}
                    yield heard | {notice.payload for notice in connection.notifies(timeout=0)}
        except psycopg.OperationalError as error:
            log.warning("database connection lost, trying again in %.1f s: %s", pause, str(error).strip())
            time.sleep(pause)
            pause = min(2 * pause, RECONNECT_LONGEST_S)


def _listener(engine: Engine, channels: Sequence[str]) -> psycopg.Connection:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(url, autocommit=True, application_name="starlight listener", connect_timeout=10)
    for channel in channels:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    return connection
