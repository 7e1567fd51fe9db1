"""The connection to PostgreSQL: engines, and waiting for an unreachable server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLIN, poll
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError

from storage.outages import POSTGRESQL, Backoff
from storage.version import VERSION

# The advisory lock for picking chunks, and for changing which may be picked.
DISPATCH_LOCK = 0x44495350

CONNECT_TIMEOUT_S = 10
# PostgreSQL truncates longer application names.
MAX_NAME_BYTES = 63

T = TypeVar("T")


# Engine options for separate connections: the URL that bypasses a pooler, if any, and the application name.
DIRECT_URL = "starlight_direct_url"
APPLICATION = "starlight_application"


def connect(
    url: str,
    *,
    direct_url: str | None = None,
    pool_size: int = 5,
    application: str = "starlight",
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
) -> Engine:
    """Return an engine for a `postgresql://` URL; connections are opened when needed and checked before use.

    Their application name is `application` with the version of this code; `storage.processes` lists programs by it.

    If `direct_url` is set, `url` leads to a pooler, which may give each transaction another server connection: then
    nothing is prepared, application names mean nothing, and what needs its own connection bypasses the pooler.
    """
    name = name_application(application)
    # The server would show a pooled connection under the name of its last user, long after that one has ended.
    options = {"application_name": "starlight", "prepare_threshold": None} if direct_url else {"application_name": name}
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=2,
        # Errors get into logs; image names and hidden messages must not.
        hide_parameters=True,
        connect_args={**options, "connect_timeout": connect_timeout_s},
        execution_options={DIRECT_URL: direct_url, APPLICATION: name},
    )
    event.listen(engine, "checkout", refuse_ended_connection)
    return engine


@contextmanager
def bypass_pooler(engine: Engine) -> Iterator[Engine]:
    """Yield an engine whose connections are all direct: this one, unless there is a pooler."""
    direct_url = engine.get_execution_options().get(DIRECT_URL)
    if direct_url is None:
        yield engine
        return
    direct = connect(direct_url, pool_size=1)
    try:
        yield direct
    finally:
        direct.dispose()


def open_own_connection(engine: Engine, name: str) -> psycopg.Connection:
    """Return a separate direct connection with this application name, for what lasts longer than a transaction.

    Raises psycopg.OperationalError.
    """
    direct_url = engine.get_execution_options().get(DIRECT_URL)
    url = engine.url if direct_url is None else make_url(direct_url)
    arguments, options = engine.dialect.create_connect_args(url)
    return psycopg.connect(
        *arguments,
        **{**options, "autocommit": True, "application_name": name, "connect_timeout": CONNECT_TIMEOUT_S},
    )


def refuse_ended_connection(connection: psycopg.Connection, *_: object) -> None:
    """Raise DisconnectionError for an idle connection that the server has closed, so that the pool opens another.

    A server's last message can be read without a query. A query, as with `pool_pre_ping`, would cost a round trip at
    every use of a connection.
    """
    waiting = poll()
    if not connection.closed:
        waiting.register(connection, POLLIN)
    if connection.closed or waiting.poll(0):
        raise DisconnectionError("the server has closed the connection")


def name_application(application: str) -> str:
    """Return a program's name with the version of its code, truncated like PostgreSQL does."""
    version = f" {VERSION}"
    return application.encode()[: MAX_NAME_BYTES - len(version)].decode(errors="ignore") + version


def connect_to_read(engine: Engine) -> Connection:
    """Return a connection for queries without a transaction: each needs only half as many round trips."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def may_succeed_later(error: DBAPIError) -> bool:
    """Whether an operation may succeed later: the server is unreachable, full, overloaded or read-only."""
    return (
        isinstance(error, OperationalError)
        or error.connection_invalidated
        or isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction)
    )


def wait_out_outages(operation: Callable[[], T]) -> T:
    """Return the operation's result, retrying with growing delays while the database is unavailable.

    If the connection broke during a commit, the operation may run again after it took effect: it must be idempotent.
    """
    with Backoff(POSTGRESQL) as backoff:
        while True:
            try:
                return operation()
            except DBAPIError as error:
                if not may_succeed_later(error):
                    raise
                backoff.wait_after(error.orig or error)


def work_in_rounds(work: Callable[[], float], stopping: threading.Event) -> None:
    """Call `work` repeatedly until told to stop, waiting while the database is unavailable.

    `work` returns the number of seconds to wait before the next call.
    """
    with Backoff(POSTGRESQL) as backoff:
        while not stopping.is_set():
            try:
                pause_s = work()
            except DBAPIError as error:
                if not may_succeed_later(error):
                    raise
                pause_s = backoff.note_failure(error.orig or error)
            else:
                backoff.note_success()
            stopping.wait(pause_s)
