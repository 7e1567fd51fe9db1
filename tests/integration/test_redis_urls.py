"""Redis by TLS and behind Sentinels: workers get the dispatchers' messages, and the API counts requests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from limits import parse
from limits.strategies import SlidingWindowCounterRateLimiter

from producer.api.counters import open_counters
from producer.dispatching.dispatcher import publish
from starlight_vocabulary.words import Priority
from storage.broker import count_messages, open_redis
from storage.dispatch import DispatchedChunk
from storage.redis_urls import mask_password, read_sentinels
from storage.settings import Settings
from tests.kit.celery_broker import lead_application_to, start_anew
from tests.kit.redis_servers import PASSWORD, serve_by_sentinel, serve_by_tls
from tests.kit.threads import PATIENCE_S
from worker.app import app


@contextmanager
def lead_to(url: str) -> Iterator["redis.Redis"]:
    """Make the application use this Redis within the block."""
    with lead_application_to(Settings(redis_url=url).redis_url or ""), open_redis(url, timeout_s=10) as client:
        yield client


def send_and_receive(client: "redis.Redis") -> None:
    """Send a chunk's id like a dispatcher, and receive it like a worker."""
    chunk = DispatchedChunk(uuid.uuid4(), Priority.BULK, uuid.uuid4(), 1, None)
    publish([chunk])
    assert count_messages(client)["scan.bulk"] == 1

    with app.connection_for_read() as connection, connection.SimpleQueue("scan.bulk") as queue:
        message = queue.get(timeout=PATIENCE_S)
        message.ack()
    assert message.payload[0] == [str(chunk.chunk_id)]
    assert sum(count_messages(client).values()) == 0


def test_messages_go_by_tls_and_to_no_server_of_another_certificate(tmp_path: Path) -> None:
    with serve_by_tls(tmp_path) as url:
        with lead_to(url) as client:
            send_and_receive(client)
        SlidingWindowCounterRateLimiter(open_counters(url)).hit(parse("1/minute"), "ann")

        with lead_to(url.partition("?")[0]) as client:
            with pytest.raises(redis.ConnectionError, match="CERTIFICATE"):
                client.ping()
            with pytest.raises(redis.ConnectionError, match="CERTIFICATE"), app.connection_for_write() as connection:
                connection.channel()


def test_messages_go_to_whoever_is_master(tmp_path: Path) -> None:
    with serve_by_sentinel(tmp_path) as url, lead_to(url) as client:
        send_and_receive(client)
        limiter = SlidingWindowCounterRateLimiter(open_counters(url))
        assert limiter.hit(parse("1/minute"), "ann")
        before = client.info("server")["tcp_port"]

        sentinels = read_sentinels(url)
        assert sentinels is not None
        (address,) = sentinels.addresses
        with redis.Redis(*address, password=PASSWORD) as sentinel:
            sentinel.sentinel_failover("images")
            while sentinel.sentinel_master("images")["port"] == before:
                pass
        # The old master would close the connection some seconds later, when it becomes a replica.
        client.connection_pool.disconnect()
        start_anew()
        assert client.info("server")["tcp_port"] != before
        send_and_receive(client)


def test_an_address_that_cannot_be_read_is_refused_without_its_password() -> None:
    for url in (
        "redis+sentinel://:secret@host:1",
        "redis+sentinel://:secret@host:x/images",
        "redis+sentinel:///images",
    ):
        with pytest.raises(ValueError, match="write special characters") as refusal:
            Settings(redis_url=url)
        assert "secret" not in str(refusal.value)
    assert (
        mask_password("redis+sentinel://:a@b/c@host:1,other:2/images") == "redis+sentinel://:***@host:1,other:2/images"
    )
    assert mask_password("redis://host:1/0") == "redis://host:1/0"
    assert mask_password("postgresql://ann:a/b@host/db") == "postgresql://ann:***@host/db"
