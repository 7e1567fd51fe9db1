"""Notifications of PostgreSQL: their channels, and listening to them."""

import socket
from collections.abc import Iterator, Sequence
from selectors import EVENT_READ, BaseSelector, DefaultSelector

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from storage.database import APPLICATION, DIRECT_URL, open_own_connection
from storage.outages import POSTGRESQL, Backoff

# Channels. SUBMITTED: chunks are waiting, no payload. FINISHED: verdicts were stored, the payload is the job's id.
# CANCELLED: chunks that may be running were cancelled or requeued, no payload. DRAINING: the draining of workers
# changed, no payload. DISPATCHED: interactive chunks were dispatched, the payload is their priority. KEYS: a key was
# revoked, the payload is REVOKED.
SUBMITTED = "starlight_submitted"
FINISHED = "starlight_finished"
CANCELLED = "starlight_cancelled"
DRAINING = "starlight_draining"
DISPATCHED = "starlight_dispatched"
KEYS = "starlight_keys"
REVOKED = "revoked"


class Wakeup:
    """Ends a `listen` from another thread, for good."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()

    def fileno(self) -> int:
        """Return the file descriptor that is readable once it was sent."""
        return self._receiver.fileno()

    def send(self) -> None:
        """End the current `listen`, and any later one."""
        self._sender.close()


def listen(
    engine: Engine, channels: Sequence[str], timeout_s: float, wakeup: Wakeup | None = None
) -> Iterator[set[str]]:
    """Yield sets of payloads received on `channels`, and an empty set after each `timeout_s` without any.

    The first set is empty: from then on nothing is missed, so earlier events can be looked up. A lost connection is
    reopened with growing delays and reported by another empty set. Ends once `wakeup` is sent.
    """
    with Backoff(POSTGRESQL) as backoff, DefaultSelector() as waiting:
        if wakeup is not None:
            waiting.register(wakeup, EVENT_READ)
        while True:
            try:
                with _open_listener(engine, channels) as connection:
                    backoff.note_success()
                    yield set()
                    yield from _hear(connection, waiting, timeout_s, wakeup)
                    return
            except psycopg.OperationalError as error:
                # Only `wakeup` is registered now.
                if waiting.select(backoff.note_failure(error)):
                    return


def _hear(
    connection: psycopg.Connection, waiting: BaseSelector, timeout_s: float, wakeup: Wakeup | None
) -> Iterator[set[str]]:
    """Yield what `listen` yields on one connection until `wakeup` is sent; raises psycopg.OperationalError."""
    # Kept as a number, because a closed connection raises for `fileno`.
    descriptor = connection.fileno()
    waiting.register(descriptor, EVENT_READ)
    try:
        while True:
            ready = {key.fileobj for key, _ in waiting.select(timeout_s)}
            if wakeup in ready:
                return
            heard = {notice.payload for notice in connection.notifies(timeout=0)}
            # The connection is also readable after other messages, such as the server's shutdown.
            if heard or not ready:
                yield heard
    finally:
        waiting.unregister(descriptor)


def _open_listener(engine: Engine, channels: Sequence[str]) -> psycopg.Connection:
    known = engine.get_execution_options()
    # Behind a pooler, only this connection shows which program this is.
    connection = open_own_connection(engine, known[APPLICATION] if known.get(DIRECT_URL) else "starlight listener")
    for channel in channels:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    return connection
