"""An object store on the loopback interface that fails when a test wants it to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.kit.servers import serve


class ObjectStore(ThreadingHTTPServer):
    """Objects by path, over as much of S3's protocol as blobs need; `reads` has the path of each request for one.

    Answers 503 while `answers` is false; what is read waits until it `may_answer`.
    """

    url = "s3://bucket"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.answers = True
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "here",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
        }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: ObjectStore
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.answers:
            self.server.objects[self.path] = data
        self._answer(b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.reads.append(self.path)
        self.server.asked.set()
        self.server.may_answer.wait()
        if self.server.answers and self.path not in self.server.objects:
            self._answer(b"", 404)
        else:
            self._answer(self.server.objects[self.path])

    def _answer(self, data: bytes, status: int = 200) -> None:
        start, length = 0, len(data)
        if asked := self.headers.get("Range"):
            start, end = map(int, asked.removeprefix("bytes=").split("-"))
            status, data = 206, data[start : end + 1]
        if not self.server.answers:
            status, data = 503, b""
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{length}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Sun, 01 Jun 2025 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve_objects() -> Iterator[ObjectStore]:
    """Yield a store that answers while the block lasts."""
    store = ObjectStore()
    with serve(store):
        try:
            yield store
        finally:
            store.may_answer.set()
