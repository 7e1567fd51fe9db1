"""An S3 bucket with any number of distinct pictures, generated on request; it has the operations that we need.

`python -m research.benchmark.bucket OBJECTS` prints its port and serves until it is terminated.
"""

import io
import struct
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from research.stego.drawn import draw_picture

BUCKET: Final = "bench"
PREFIX: Final = "june/"
DRAWN: Final = 64
SIDE: Final = 256
PAGE: Final = 1000
# Length of a PNG up to the end of IHDR, where the text with the object's number is inserted.
HEADER_BYTES: Final = 33
DATE: Final = "Sun, 01 Jun 2025 00:00:00 GMT"


def draw_pictures() -> list[bytes]:
    """Return the base pictures, as PNG."""
    rng = np.random.default_rng(3)
    pictures = []
    for _ in range(DRAWN):
        stream = io.BytesIO()
        draw_picture(rng, size=(SIDE, SIDE)).convert("RGB").save(stream, "PNG")
        pictures.append(stream.getvalue())
    return pictures


def make_object(pictures: list[bytes], number: int) -> bytes:
    """Return the object of a number; all objects have different bytes."""
    picture = pictures[number % len(pictures)]
    text = b"tEXtNumber\0%d" % number
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return picture[:HEADER_BYTES] + chunk + picture[HEADER_BYTES:]


def read_number(key: str) -> int:
    """Return the number in an object's key."""
    return int(key.removeprefix(PREFIX).removesuffix(".png"))


class Handler(BaseHTTPRequestHandler):
    """Answers requests for objects and lists of objects."""

    protocol_version = "HTTP/1.1"
    # Buffered, so that head and body are sent together: otherwise the body waits for an acknowledgement.
    wbufsize = -1
    objects = 0
    pictures: list[bytes]

    def do_GET(self) -> None:  # noqa: D102 - documented by the base class
        parts = urlsplit(self.path)
        asked = dict(parse_qsl(parts.query))
        if "list-type" in asked:
            after = asked.get("start-after", "")
            first = read_number(after) + 1 if after else 0
            self._answer(self._list(int(asked.get("continuation-token", first))), "page")
            return
        number = read_number(parts.path.removeprefix(f"/{BUCKET}/"))
        self._answer(make_object(self.pictures, number), f"{number:09}")

    def _list(self, first: int) -> bytes:
        last = min(self.objects, first + PAGE)
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if last < self.objects else ""
        entries = "".join(
            f"<Contents><Key>{PREFIX}{number:09}.png</Key><Size>100000</Size><ETag>&quot;{number:032x}&quot;</ETag>"
            "<LastModified>2025-06-01T00:00:00.000Z</LastModified></Contents>"
            for number in range(first, last)
        )
        more = str(last < self.objects).lower()
        return f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>".encode()

    def _answer(self, data: bytes, etag: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(data)), "ETag": f'"{etag}"', "Last-Modified": DATE}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve a bucket of OBJECTS objects."""
    Handler.objects, Handler.pictures = int(sys.argv[1]), draw_pictures()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
