"""A server on the loopback interface that makes its clients wait, in ways that a timeout may miss."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import quote, unquote

from tests.kit.servers import serve
from tests.kit.threads import PATIENCE_S

# Short enough that no timeout of a single read is reached, long enough that no size limit is.
PAUSE_S = 0.02
HEAD = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# The first byte of a TLS handshake record.
TLS = b"\x16"
# By the first part of the path: what is sent at once, and what is then sent repeatedly.
MANNERS = {
    "silent": (b"", b""),
    "head": (HEAD, b"x"),
    "headers": (HEAD, b"X-Header: value\r\n"),
    "continue": (CONTINUE, CONTINUE),
    "body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "large": (HEAD + b"Content-Length: 2000000\r\n\r\n", b"x"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "tiny chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 10_000 * b"1\r\nx\r\n"),
    "chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X-Trailer: value\r\n"),
    "flood": (CONTINUE, 10_000 * CONTINUE),
    "handshake": (TLS + b"\x03\x03\x40\x00", b"\x02"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /silent\r\nContent-Length: 0\r\n\r\n", b""),
}


class TardyServer(ThreadingTCPServer):
    """Answers in the manner that the path names: `/silent`, `/head/anything`; a TLS handshake never ends.

    `asked` and `left` count the connections that clients opened and closed.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.ending = threading.Event()

    def refer_to(self, manner: str, scheme: str = "http") -> str:
        """Return the URL for this manner."""
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/{quote(manner)}"

    def await_asked(self, times: int = 1) -> None:
        """Return once this many more connections were opened."""
        for _ in range(times):
            assert self.asked.acquire(timeout=PATIENCE_S), "no client connects"

    def await_left(self, times: int = 1) -> None:
        """Return once this many more connections were closed by clients."""
        for _ in range(times):
            assert self.left.acquire(timeout=PATIENCE_S), "no client disconnects"


def read_manner(line: bytes) -> str:
    """Return the manner that the first line of a request names."""
    return unquote(line.split(b" ")[1].decode("ascii")).strip("/").partition("/")[0]


class Handler(StreamRequestHandler):
    """One connection."""

    server: TardyServer

    def handle(self) -> None:
        """Answer in the manner of the path until the client disconnects."""
        self.server.asked.release()
        asked = self.rfile.readline() if self.connection.recv(1, socket.MSG_PEEK) != TLS else b"GET /handshake "
        if not asked:
            self.server.left.release()
            return
        first, again = MANNERS[read_manner(asked)]
        with suppress(OSError):
            self.connection.settimeout(PAUSE_S)
            for piece in chain([first], repeat(again)):
                self.connection.sendall(piece)
                if self.server.ending.is_set() or self._has_been_left():
                    break
        self.server.left.release()

    def _has_been_left(self) -> bool:
        """Whether the client has closed the connection; waits for up to `PAUSE_S`."""
        try:
            while self.connection.recv(4096):
                pass
        except TimeoutError:
            return False
        return True


@contextmanager
def serve_tardily() -> Iterator[TardyServer]:
    """Yield a running server."""
    server = TardyServer()
    with serve(server):
        try:
            yield server
        finally:
            server.ending.set()
