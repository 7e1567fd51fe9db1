"""A web server of images on the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.kit.servers import serve

PIECE_BYTES = 2**18


class ImageServer(ThreadingHTTPServer):
    """Serves images by path, those below `/chunked/` without their size. `reads` has the path of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.images: dict[str, bytes] = {}
        self.reads: list[str] = []

    def refer_to(self, path: str) -> str:
        """Return the reference of the image with this path."""
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: ImageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the image, or 404."""
        self.server.reads.append(self.path)
        data = self.server.images.get(self.path)
        self.send_response(404 if data is None else 200)
        if data is None or not self.path.startswith("/chunked/"):
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serve_images() -> Iterator[ImageServer]:
    """Yield a running server."""
    server = ImageServer()
    with serve(server):
        yield server
