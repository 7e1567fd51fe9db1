"""The connection to PostgreSQL, waiting out its outages, and its notifications."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from select import POLLIN, poll
from selectors import EVENT_READ, DefaultSelector
from typing import TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError

from storage.outages import POSTGRESQL, Patience
from storage.version import VERSION

# Channels. SUBMITTED: chunks wait, no payload. FINISHED: verdicts of the job are stored whose id is the payload.
# CANCELLED: chunks that may be running were cancelled or taken back, no payload. DRAINING: workers are to drain, or to
# drain no more, no payload. DISPATCHED: interactive chunks were dispatched; the
# payload is their priority. KEYS: a key was revoked; the payload is REVOKED.
SUBMITTED = "starlight_submitted"
FINISHED = "starlight_finished"
CANCELLED = "starlight_cancelled"
DRAINING = "starlight_draining"
DISPATCHED = "starlight_dispatched"
KEYS = "starlight_keys"
REVOKED = "revoked"
# The advisory lock of whoever picks chunks, or changes which may be picked.
DISPATCH_LOCK = 0x44495350

CONNECT_TIMEOUT_S = 10
# PostgreSQL cuts longer names of applications.
MAX_NAME_BYTES = 63

T = TypeVar("T")


# Options of an engine, for connections of their own: the URL past a pooler, where there is one, and their name.
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
    """Return an engine for a `postgresql://` URL; connections are checked before use and opened when needed.

    PostgreSQL knows them as the application and the version of this code, by which `storage.processes` lists programs.

    `direct_url` says that `url` leads to a pooler, which may give every transaction another connection of the server:
    nothing is prepared then, names tell nothing, and what needs a connection of its own goes past the pooler.
    """
    name = name_application(application)
    # Of pooled ones, the server would show the name of whoever used one last, long after he has ended.
    options = {"application_name": "starlight", "prepare_threshold": None} if direct_url else {"application_name": name}
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=2,
        # Errors reach logs; names of images and what was hidden in them must not.
        hide_parameters=True,
        connect_args={**options, "connect_timeout": connect_timeout_s},
        execution_options={DIRECT_URL: direct_url, APPLICATION: name},
    )
    event.listen(engine, "checkout", refuse_ended_connection)
    return engine


@contextmanager
def bypass_pooler(engine: Engine) -> Iterator[Engine]:
    """Yield an engine whose connections are each one of the server: this one, where there is no pooler in between."""
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
    """Return a connection of one's own, past any pooler, known by this name: for what lasts longer than a transaction.

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
    """Raise DisconnectionError for an idle connection that the server has ended, whereupon the pool opens another.

    What a server says of its own accord can be read before it is asked for anything. To ask it, as `pool_pre_ping`
    does, would take a round trip for every use of a connection.
    """
    waiting = poll()
    if not connection.closed:
        waiting.register(connection, POLLIN)
    if connection.closed or waiting.poll(0):
        raise DisconnectionError("the server has ended the connection")


def name_application(application: str) -> str:
    """Return the name of a program with the version of its code, in as many bytes as PostgreSQL keeps."""
    version = f" {VERSION}"
    return application.encode()[: MAX_NAME_BYTES - len(version)].decode(errors="ignore") + version


def connect_to_read(engine: Engine) -> Connection:
    """Return a connection for queries that need no transaction around them: each costs half as many round trips."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def may_succeed_later(error: DBAPIError) -> bool:
    """Whether an operation may succeed later as it is: the server is away, full, overloaded or not to be written to."""
    return (
        isinstance(error, OperationalError)
        or error.connection_invalidated
        or isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction)
    )


def wait_out_outages(operation: Callable[[], T]) -> T:
    """Return what the operation returns, trying again with a growing pause for as long as the database is away.

    The operation may run again after it took effect, where the connection broke during its commit: it must bear that.
    """
    with Patience(POSTGRESQL) as patience:
        while True:
            try:
                return operation()
            except DBAPIError as error:
                if not may_succeed_later(error):
                    raise
                patience.wait_after(error.orig or error)


def work_in_rounds(work: Callable[[], float], stopping: threading.Event) -> None:
    """Do one round of work after another until told to stop, waiting out the database's outages between them.

    `work` returns for how many seconds to pause before the next round.
    """
    with Patience(POSTGRESQL) as patience:
        while not stopping.is_set():
            try:
                pause_s = work()
            except DBAPIError as error:
                if not may_succeed_later(error):
                    raise
                pause_s = patience.note_failure(error.orig or error)
            else:
                patience.note_success()
            stopping.wait(pause_s)


class Wakeup:
    """Ends a `listen` from another thread, for good."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()

    def fileno(self) -> int:
        """Return the descriptor that is readable once it was sent."""
        return self._receiver.fileno()

    def send(self) -> None:
        """End the `listen` that waits, and any later one."""
        self._sender.close()


def listen(
    engine: Engine, channels: Sequence[str], timeout_s: float, wakeup: Wakeup | None = None
) -> Iterator[set[str]]:
    """Yield the payloads heard on `channels`, and an empty set whenever `timeout_s` passes without any.

    The first set is empty, once we listen, so that what happened before can be looked up. A lost connection is
    opened again with a growing pause and reported by another empty set. Ends once `wakeup` is sent.
    """
    with Patience(POSTGRESQL) as patience, DefaultSelector() as waiting:
        if wakeup is not None:
            waiting.register(wakeup, EVENT_READ)
        while True:
            try:
                with _open_listener(engine, channels) as connection:
                    patience.note_success()
                    yield set()
                    # A number: of a connection that was lost, nothing can be asked any more.
                    descriptor = connection.fileno()
                    waiting.register(descriptor, EVENT_READ)
                    try:
                        while True:
                            ready = {key.fileobj for key, _ in waiting.select(timeout_s)}
                            if wakeup in ready:
                                return
                            heard = {notice.payload for notice in connection.notifies(timeout=0)}
                            # Servers also say other things, such as that they end.
                            if heard or not ready:
                                yield heard
                    finally:
                        waiting.unregister(descriptor)
            except psycopg.OperationalError as error:
                patience.wait_after(error)


def _open_listener(engine: Engine, channels: Sequence[str]) -> psycopg.Connection:
    known = engine.get_execution_options()
    # Behind a pooler it is the only connection that tells which program this is.
    connection = open_own_connection(engine, known[APPLICATION] if known.get(DIRECT_URL) else "starlight listener")
    for channel in channels:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    return connection
