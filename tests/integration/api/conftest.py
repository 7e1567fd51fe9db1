"""The API's application in this process, on a real database and Redis."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.api.service import Service
from storage.blobs import Blobs
from storage.settings import Settings
from tests.kit.api import Api
from tests.kit.archives import pack_tar
from tests.kit.listings import PICTURE
from tests.kit.object_store import ObjectStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that `file://` references may name."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def api_settings(configured: Settings, root: Path) -> Settings:
    """Small limits, so that tests reach them."""
    return configured.model_copy(
        update={
            "api_roots": (root,),
            "max_upload_bytes": 200_000,
            "max_waiting_images_per_key": 100,
            "max_waiting_images": 150,
            "max_archive_members": 50,
            "max_image_bytes": 50_000,
            "rate_limit_per_minute": 1000,
            # The host name that Starlette's test client sends.
            "allowed_hosts": ("testserver",),
        }
    )


@pytest.fixture
def api(engine: Engine, api_settings: Settings) -> Api:
    """The application."""
    assert api_settings.redis_url is not None
    counters = RedisStorage(api_settings.redis_url)
    counters.reset()
    return Api(Service(engine, Blobs(api_settings.blobs()), api_settings, SlidingWindowCounterRateLimiter(counters)))


@pytest.fixture
def ann(api: Api) -> TestClient:
    """A client that may submit and read."""
    return api.connect_as("ann", buckets=["s3://bucket"])


@pytest.fixture
def address(api: Api) -> Iterator[str]:
    """The URL of the application, served as in production: the test client does not stream responses."""
    server = uvicorn.Server(uvicorn.Config(api.app, port=0, log_config=None, timeout_graceful_shutdown=1))
    listening = server.config.bind_socket()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def stored(object_store: ObjectStore) -> ObjectStore:
    """A bucket with ten pictures, an archive of two between them and a text, and a picture in another bucket."""
    for number in range(10):
        object_store.objects[f"/bucket/p/{number}.png"] = PICTURE
    object_store.objects["/bucket/p/4.tar"] = pack_tar({"a.png": PICTURE, "b.png": b"second"})
    object_store.objects["/bucket/p/notes.txt"] = b"none"
    object_store.objects["/other/1.png"] = PICTURE
    return object_store
