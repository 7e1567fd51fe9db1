"""Endpoints of buckets that redirect readers to another server: nobody follows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.bucket_stores import find_endpoint, keep_to_endpoint, open_bucket
from tests.kit.loading import BytesLoader
from tests.kit.object_store import ObjectStore, serve_objects
from tests.kit.servers import serve
from worker.scanning.image_error import ImageError

SECRET = b"nobody's business"


@dataclass
class Redirecting:
    """An endpoint, its response, and the number of its requests."""

    port: int = 0
    status: int = 307
    location: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def inside() -> Iterator[ObjectStore]:
    """A server that only this machine should be able to reach."""
    with serve_objects() as store:
        store.objects["/secret"] = SECRET
        yield store


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Redirecting]:
    redirecting = Redirecting()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            redirecting.asked.append(self.path)
            self.send_response(redirecting.status)
            self.send_header("Location", redirecting.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    redirecting.port = server.server_port
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_REGION": "here",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }.items():
        monkeypatch.setenv(name, value)
    open_bucket.cache_clear()
    with serve(server):
        yield redirecting
    open_bucket.cache_clear()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(
    endpoint: Redirecting, inside: ObjectStore, tmp_path: Path, status: int
) -> None:
    endpoint.status, endpoint.location = status, f"http://localhost:{inside.server_port}/secret"

    with pytest.raises(ImageError) as refusal:
        BytesLoader(Blobs(tmp_path.as_uri()), 1000).load("s3://bucket/image.png")

    assert refusal.value.code == ErrorCode.UNAVAILABLE
    assert set(endpoint.asked) == {"/bucket/image.png"}
    assert inside.reads == []


def test_with_tls_nothing_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://objects.example:9000")

    options = keep_to_endpoint(find_endpoint("s3", "bucket"), ["credentials.example"])

    assert options["allow_http"] is False
    assert options["proxy_excludes"] == "objects.example,credentials.example"


def test_a_proxy_of_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")

    assert "proxy_url" not in keep_to_endpoint("https://objects.example/bucket/object")


def test_hosts_without_a_proxy_are_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost")

    assert "proxy_url" in keep_to_endpoint("https://objects.example/bucket/object")
