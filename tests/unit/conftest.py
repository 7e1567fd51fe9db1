"""Pillow's limit, which is restored after each test, and a Redis within the tests' own process."""

import fakeredis
import pytest
import redis
from PIL import Image


@pytest.fixture(autouse=True)
def pillow_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore Pillow's limit of pixels, which decoders set for the whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture
def redis_server() -> fakeredis.FakeServer:
    """An empty Redis, which answers unless it is not `connected`."""
    return fakeredis.FakeServer()


@pytest.fixture
def broker(redis_server: fakeredis.FakeServer) -> "redis.Redis":
    """A client of this Redis."""
    return fakeredis.FakeRedis(server=redis_server)
