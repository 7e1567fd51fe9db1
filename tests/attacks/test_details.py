"""Errors never contain a password, a path of this machine, the address of a bucket, or what a server sent."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.bucket_stores import open_bucket
from storage.settings import Settings
from tests.kit.command import run_starlight
from tests.kit.loading import BytesLoader
from tests.kit.servers import serve
from tests.kit.users import become_ordinary_user
from worker.scanning.content import ContentReader
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError

PASSWORD = "hunter2"
SECRET = b"what-only-we-may-read"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://ann:{PASSWORD}@host/db"),
        ("DATABASE_URL", f"postgresql://ann:{PASSWORD}@host:port/db"),
        ("DATABASE_URL", f"postgresql://ann:{PASSWORD}@[::1/db"),
        ("REDIS_URL", f"http://:{PASSWORD}@host"),
        ("REDIS_URL", f"redis://:{PASSWORD}/more@host"),
        ("BLOB_URL", f"ftp://ann:{PASSWORD}@host"),
        ("WEBHOOK_SECRET", f"whsec_{PASSWORD}"),
    ],
)
def test_no_error_of_a_setting_quotes_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    told = run_starlight("jobs", settings={"data_dir": tmp_path, name.lower(): value})
    monkeypatch.setenv(f"STARLIGHT_{name}", value)
    with pytest.raises(ValidationError) as refusal:
        Settings(data_dir=tmp_path)

    assert told.returncode == 2
    assert f"STARLIGHT_{name}: " in told.stderr
    assert PASSWORD not in told.stderr + str(refusal.value)


def test_settings_that_are_printed_show_no_password() -> None:
    settings = Settings(database_url=f"postgresql://ann:{PASSWORD}@host/db", redis_url=f"redis://:{PASSWORD}@host")

    assert PASSWORD not in repr(settings)


@pytest.fixture
def indiscreet(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """An endpoint of buckets that refuses requests with the status in their path, and whose errors contain secrets."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = self.path.rpartition("/")[2]
            if not status.isdigit():
                self.wfile.write(SECRET + b"\r\n\r\n")
                return
            self.send_response(int(status))
            self.send_header("Content-Length", str(len(SECRET)))
            self.end_headers()
            self.wfile.write(SECRET)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    open_bucket.cache_clear()
    with serve(server):
        yield server
    open_bucket.cache_clear()


def refuse(loader: BytesLoader, uri: str) -> ImageError:
    with pytest.raises(ImageError) as refusal:
        loader.load(uri)
    return refusal.value


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, ErrorCode.UNAVAILABLE, "400 Bad Request"),
        (401, ErrorCode.NOT_READABLE, "401 Unauthorized"),
        (403, ErrorCode.NOT_READABLE, "403 Forbidden"),
        (412, ErrorCode.NOT_READABLE, "412 Precondition Failed"),
        (500, ErrorCode.UNAVAILABLE, "500 Internal Server Error"),
    ],
)
def test_a_bucket_that_refuses_is_not_quoted(
    indiscreet: ThreadingHTTPServer, tmp_path: Path, status: int, code: ErrorCode, reason: str
) -> None:
    error = refuse(BytesLoader(Blobs(tmp_path.as_uri()), 1000), f"s3://bucket/{status}")

    assert error.code == code
    assert error.detail in (f"the bucket refuses: {reason}", f"the bucket does not answer: {reason}")


def test_a_server_that_speaks_something_else_is_not_quoted(indiscreet: ThreadingHTTPServer, tmp_path: Path) -> None:
    loopback = ip_network("127.0.0.0/8")
    fetcher = Fetcher(Settings(data_dir=tmp_path, fetch_schemes=("http",), fetch_allowed_networks=(loopback,)))

    with pytest.raises(ImageError) as refusal:
        fetcher.fetch(f"http://127.0.0.1:{indiscreet.server_port}/ssh", ContentReader(1000, None))

    fetcher.close()
    assert (refusal.value.code, refusal.value.detail) == (ErrorCode.UNAVAILABLE, "illegal status line")


def test_a_blob_that_cannot_be_opened_does_not_tell_where_blobs_are(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path.as_uri())
    digest = blobs.put(b"bytes")
    (tmp_path / digest[:2] / digest).chmod(0)

    with become_ordinary_user():
        error = refuse(BytesLoader(blobs, 1000), f"blob://{digest}/name")

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "the blob store does not answer: Permission denied")
