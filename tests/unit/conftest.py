"""What stands for the world around: Pillow's limit as it was, and a Redis within the tests' own process."""

import fakeredis
import pytest
import redis
from PIL import Image


@pytest.fixture(autouse=True)
def pillow_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders set Pillow's limit for the whole process: put it back after each test."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture
def redis_server() -> fakeredis.FakeServer:
    """An empty Redis, which answers unless it is not `connected`."""
    return fakeredis.FakeServer()


@pytest.fixture
def broker(redis_server: fakeredis.FakeServer) -> "redis.Redis":
    """A client of it."""
    return fakeredis.FakeRedis(server=redis_server)
