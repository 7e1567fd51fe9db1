"""A receiver of webhooks in the tests' own process."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.kit.servers import serve

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
"""The secret with which webhooks are signed."""


@dataclass
class Receiver:
    """The received messages, and the statuses that are answered in turn; the last one is repeated."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def answer(self) -> int:
        """Return the next status."""
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def receive_webhooks() -> Iterator[Receiver]:
    """Yield a running receiver on a loopback port."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.messages.append((dict(self.headers), body))
            self.send_response(received.answer())
            self.send_header("Location", received.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}/hook"
    with serve(server):
        yield received
