"""A proxy between client and PostgreSQL that breaks the connection at a commit, before or after the server gets it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

# psycopg sends a commit as a simple query.
COMMIT = b"COMMIT\0"


class Wire:
    """Forwards connections to the server; breaks the connection of the commit at which `commits_left` reaches 0."""

    def __init__(self, database_url: str) -> None:
        self._server = make_url(database_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = self._server.set(host="127.0.0.1", port=self._listener.getsockname()[1]).render_as_string(
            hide_password=False
        )
        self.commits_left: int | None = None
        self.heard = False
        self.broken = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def break_at(self, commit: int, *, heard: bool) -> None:
        """Break the connection at a commit, after `commit` others; with `heard`, after the server has received it."""
        self.commits_left, self.heard = commit, heard

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._server.host or "", self._server.port or 0))
            for forward, sides in ((self._requests, (client, server)), (self._answers, (server, client))):
                threading.Thread(target=forward, args=sides, daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if COMMIT in data and self._is_the_one():
                # Counted before the client can see it.
                self.broken += 1
                if self.heard:
                    # The client's side is closed first, so that the server's answer does not reach it.
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(data)
                client.close()
                server.shutdown(socket.SHUT_WR)
                return
            server.sendall(data)
        server.close()

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                continue
        client.close()

    def _is_the_one(self) -> bool:
        if self.commits_left is None:
            return False
        self.commits_left = self.commits_left - 1 if self.commits_left else None
        return self.commits_left is None


def _received(side: socket.socket) -> bytes:
    try:
        return side.recv(65536)
    except OSError:
        return b""


@contextmanager
def open_wire_to(database_url: str) -> Iterator[Wire]:
    """Yield a proxy to this database."""
    wire = Wire(database_url)
    try:
        yield wire
    finally:
        wire.close()
