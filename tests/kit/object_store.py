"""An object store on the loopback interface that fails on demand."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.kit.servers import serve


class ObjectStore(ThreadingHTTPServer):
    """Serves objects by path, with the necessary parts of the protocols of S3, Google and Azure.

    `reads` has the path of each read. It answers 503 while `answers` is false; reads wait until `may_answer` is set.
    """

    url = "s3://bucket"
    page_size = 1000

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.listings = self.sent = 0
        self.change_when_read = ""
        self.answers = True
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make clients use this store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "here",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "GOOGLE_BASE_URL": f"http://127.0.0.1:{self.server_port}",
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
        parts = urlsplit(self.path)
        if "list-type=" in parts.query or "comp=list" in parts.query:
            self._list(unquote(parts.path).strip("/"), dict(parse_qsl(parts.query)))
            return
        self.server.reads.append(self.path)
        self.server.asked.set()
        self.server.may_answer.wait()
        # Clients quote slashes and brackets differently.
        path = quote(unquote(parts.path))
        if self.server.change_when_read == path and self.command == "GET":
            self.server.objects[path] += b"more"
        if self.server.answers and path not in self.server.objects:
            self._answer(b"", 404)
        else:
            self._answer(self.server.objects.get(path, b""))

    def _list(self, bucket: str, asked: dict[str, str]) -> None:
        """Answer with a page of a bucket's keys, in order, in the format of S3 and Google, or of Azure."""
        self.server.listings += 1
        if not self.server.answers:
            self._answer(b"")
            return
        if bucket not in {path.split("/")[1] for path in self.server.objects}:
            self._answer(b"<Error><Code>NoSuchBucket</Code></Error>", 404)
            return
        keys = sorted(unquote(path).partition(f"/{bucket}/")[2] for path in self.server.objects)
        after = asked.get("continuation-token", asked.get("marker", asked.get("start-after", "")))
        found = [key for key in keys if key > after and key.startswith(asked.get("prefix", ""))]
        page = found[: self.server.page_size]
        more = len(found) > len(page)
        if "comp" in asked:
            self._answer(
                describe_for_azure([(key, self.server.objects[f"/{bucket}/{quote(key)}"]) for key in page], more)
            )
            return
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{make_etag(data)}&quot;</ETag><LastModified>2025-06-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
            for data in [self.server.objects[f"/{bucket}/{quote(key)}"]]
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self._answer(
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>".encode()
        )

    def _answer(self, data: bytes, status: int = 200) -> None:
        start, length, etag = 0, len(data), make_etag(data)
        if status == 200 and self.headers.get("If-Match", etag).strip('"') != etag:
            status, data = 412, b""
        if status == 200 and (asked := self.headers.get("Range")):
            start, end = map(int, asked.removeprefix("bytes=").split("-"))
            status, data = 206, data[start : end + 1]
        if not self.server.answers:
            status, data = 503, b""
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{length}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Last-Modified", "Sun, 01 Jun 2025 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.server.sent += len(data)
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def describe_for_azure(page: Sequence[tuple[str, bytes]], more: bool) -> bytes:
    """Return a page of keys and objects in Azure's format."""
    blobs = "".join(
        f"<Blob><Name>{escape(key)}</Name><Properties><Content-Length>{len(data)}</Content-Length>"
        f"<Last-Modified>Sun, 01 Jun 2025 00:00:00 GMT</Last-Modified><Etag>{make_etag(data)}</Etag>"
        "<Content-Type>image/png</Content-Type></Properties></Blob>"
        for key, data in page
    )
    marker = escape(page[-1][0]) if more else ""
    return f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>".encode()


def make_etag(data: bytes) -> str:
    """Return the ETag of these bytes."""
    return md5(data, usedforsecurity=False).hexdigest()


@contextmanager
def serve_objects() -> Iterator[ObjectStore]:
    """Yield a running store."""
    store = ObjectStore()
    with serve(store):
        try:
            yield store
        finally:
            store.may_answer.set()
