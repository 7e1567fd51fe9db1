"""Fetching from strangers' servers that misbehave in different ways, with a real server."""

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest

from starlight_vocabulary.words import ErrorCode
from storage.bucket_stores import open_bucket, open_from_bucket
from storage.settings import Settings
from tests.kit.certificates import make_certificate
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_pattern
from tests.kit.servers import serve
from worker.scanning.content import ContentReader
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError

PNG = encode_pattern("PNG")
LIMIT = 10_000
READER = ContentReader(LIMIT, None)
LOOPBACK = ip_network("127.0.0.0/8")


class Stranger(ThreadingHTTPServer):
    """A server that answers by path, and records its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.leave = threading.Event()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Stranger

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        kind, _, argument = self.path.strip("/").partition("/")
        if kind == "status":
            self.send_response(int(argument))
            self.end_headers()
        elif kind == "redirect":
            self.send_response(302)
            self.send_header("Location", argument)
            self.end_headers()
        elif kind == "gzip":
            self._send(gzip.compress(PNG), ("Content-Encoding", "gzip"))
        elif kind == "endless":
            self.send_response(200)
            self.end_headers()
            while not self.server.leave.is_set():
                try:
                    self.wfile.write(bytes(5000))
                except OSError:
                    return
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            while not self.server.leave.wait(0.02):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
        elif kind == "garbage":
            self.wfile.write(b"nonsense\r\n\r\n")
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x")
        else:
            self._send(PNG)

    def _send(self, data: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    server = Stranger()
    with serve(server):
        yield server
        server.leave.set()


@pytest.fixture
def open_settings(tmp_path: Path) -> Settings:
    """Settings that permit fetching from this machine, without TLS."""
    return Settings(
        data_dir=tmp_path, fetch_schemes=("http", "https"), fetch_allowed_networks=(LOOPBACK,), fetch_timeout_s=0.5
    )


@pytest.fixture
def fetcher(open_settings: Settings) -> Iterator[Fetcher]:
    fetcher = Fetcher(open_settings)
    yield fetcher
    fetcher.close()


def refused(fetch: Callable[[], object]) -> ErrorCode:
    with pytest.raises(ImageError) as refusal:
        fetch()
    assert refusal.value.detail
    return refusal.value.code


def test_an_image_is_fetched_as_it_is_sent(fetcher: Fetcher, stranger: Stranger) -> None:
    assert fetcher.fetch(stranger.url("/image.png?a=b#c"), READER).data == PNG
    assert fetcher.fetch(stranger.url("/gzip"), READER).data == gzip.compress(PNG)

    path, headers = stranger.asked[0]
    assert path == "/image.png?a=b"
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "referer"} & headers.keys()


def test_redirects_are_followed_from_relative_to_absolute(fetcher: Fetcher, stranger: Stranger) -> None:
    assert fetcher.fetch(stranger.url("/redirect//image.png"), READER).data == PNG
    assert fetcher.fetch(stranger.url("/redirect/../image.png"), READER).data == PNG
    assert fetcher.fetch(stranger.url(f"/redirect/{stranger.url('/image.png')}"), READER).data == PNG


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/status/404", ErrorCode.NOT_FOUND),
        ("/status/410", ErrorCode.NOT_FOUND),
        ("/status/403", ErrorCode.NOT_READABLE),
        ("/status/401", ErrorCode.NOT_READABLE),
        ("/status/204", ErrorCode.NOT_READABLE),
        ("/status/302", ErrorCode.NOT_READABLE),
        ("/status/429", ErrorCode.UNAVAILABLE),
        ("/status/500", ErrorCode.UNAVAILABLE),
        ("/status/503", ErrorCode.UNAVAILABLE),
        ("/slow", ErrorCode.UNAVAILABLE),
        ("/garbage", ErrorCode.UNAVAILABLE),
        ("/short", ErrorCode.UNAVAILABLE),
        ("/redirect/file:///etc/passwd", ErrorCode.UNSUPPORTED_URI),
        ("/redirect/ftp://example.com/", ErrorCode.UNSUPPORTED_URI),
        ("/redirect/gopher://127.0.0.1:6379/_FLUSHALL", ErrorCode.UNSUPPORTED_URI),
        ("/redirect/http://ann:secret@127.0.0.1/", ErrorCode.UNSUPPORTED_URI),
        ("/redirect/http://10.0.0.1/", ErrorCode.FORBIDDEN_ADDRESS),
        ("/redirect/http://169.254.169.254/latest/meta-data/", ErrorCode.FORBIDDEN_ADDRESS),
        ("/redirect/http://[::ffff:10.0.0.1]/", ErrorCode.FORBIDDEN_ADDRESS),
        ("/redirect/http://[fd00:ec2::254]/", ErrorCode.FORBIDDEN_ADDRESS),
    ],
)
def test_a_stranger_that_misbehaves_gets_nowhere(
    fetcher: Fetcher, stranger: Stranger, path: str, code: ErrorCode
) -> None:
    assert refused(lambda: fetcher.fetch(stranger.url(path), READER)) == code


def test_redirects_without_end_are_left(fetcher: Fetcher, stranger: Stranger) -> None:
    path = "/redirect/" * 10

    assert refused(lambda: fetcher.fetch(stranger.url(path), READER)) == ErrorCode.NOT_READABLE
    assert len(stranger.asked) == 6


def test_no_more_is_read_than_may_be(fetcher: Fetcher, stranger: Stranger) -> None:
    assert refused(lambda: fetcher.fetch(stranger.url("/endless"), READER)) == ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
)
def test_this_machine_is_not_asked(open_settings: Settings, stranger: Stranger, host: str) -> None:
    strict = Fetcher(open_settings.model_copy(update={"fetch_allowed_networks": ()}))

    code = refused(lambda: strict.fetch(stranger.url("/image.png", host), READER))

    assert code in (ErrorCode.FORBIDDEN_ADDRESS, ErrorCode.UNAVAILABLE, ErrorCode.UNSUPPORTED_URI)
    assert stranger.asked == []
    strict.close()


@pytest.mark.parametrize("url", ["http://exämple.com/", "http://example.com/ä.png"])
def test_a_url_that_is_not_in_ascii_is_an_error_that_says_so(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(ImageError, match="ASCII") as refusal:
        fetcher.fetch(url, READER)

    assert refusal.value.code == ErrorCode.UNSUPPORTED_URI


def test_a_name_that_changes_its_address_is_checked_each_time(open_settings: Settings, stranger: Stranger) -> None:
    """A name whose first resolution is permitted, and whose second one leads elsewhere."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    fetcher = Fetcher(open_settings, lambda *_: next(answers))

    assert fetcher.fetch(stranger.url("/image.png", "rebinding.example"), READER).data == PNG
    fetcher.close()
    again = Fetcher(open_settings, lambda *_: next(answers))
    assert refused(lambda: again.fetch(stranger.url("/image.png", "rebinding.example"), READER)) == (
        ErrorCode.FORBIDDEN_ADDRESS
    )


def test_plain_http_is_not_spoken_unless_allowed(tmp_path: Path, stranger: Stranger) -> None:
    fetcher = Fetcher(Settings(data_dir=tmp_path, fetch_allowed_networks=(LOOPBACK,)))

    assert not fetcher.can_fetch("http")
    assert fetcher.can_fetch("https")
    assert refused(lambda: fetcher.fetch(stranger.url("/image.png"), READER)) == ErrorCode.UNSUPPORTED_URI


def test_a_certificate_that_nobody_vouches_for_is_refused(fetcher: Fetcher, stranger: Stranger, tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    stranger.socket = context.wrap_socket(stranger.socket, server_side=True)

    assert (
        refused(lambda: fetcher.fetch(f"https://127.0.0.1:{stranger.server_port}/", READER)) == ErrorCode.NOT_READABLE
    )


def test_a_name_that_nobody_has_is_unavailable(fetcher: Fetcher) -> None:
    assert refused(lambda: fetcher.fetch("https://nobody.invalid/", READER)) == ErrorCode.UNAVAILABLE


def test_objects_of_buckets_are_read(object_store: ObjectStore) -> None:
    object_store.objects["/bucket/folder/a%20b.png"] = PNG
    open_bucket.cache_clear()

    found = open_from_bucket("s3://bucket/folder/a%20b.png")
    assert (found.size, b"".join(found.pieces)) == (len(PNG), PNG)
    with pytest.raises(FileNotFoundError):
        open_from_bucket("s3://bucket/none")
    open_bucket.cache_clear()
