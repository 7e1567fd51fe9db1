"""A Redis within the tests' own process, which goes away when a test wants it to."""

import fakeredis
import pytest
import redis


@pytest.fixture
def redis_server() -> fakeredis.FakeServer:
    """An empty Redis, which answers unless it is not `connected`."""
    return fakeredis.FakeServer()


@pytest.fixture
def broker(redis_server: fakeredis.FakeServer) -> "redis.Redis":
    """A client of it."""
    return fakeredis.FakeRedis(server=redis_server)
