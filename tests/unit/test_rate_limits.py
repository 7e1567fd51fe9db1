"""The rate limit of a key: counted in Redis, and not enforced without Redis."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import fakeredis
import pytest
import redis
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import create_engine

from producer.api import access
from producer.api.problems import ProblemError
from producer.api.service import Service
from starlight_vocabulary.words import Scope
from storage.blobs import Blobs
from storage.keys import ApiKey
from storage.settings import Settings

LIMIT = 5

Ask = Callable[[str], None]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every text a valid key, whose name is the same text."""

    def find_key(_: object, key: str) -> ApiKey:
        return ApiKey(key, key, (Scope.READ,), datetime.now(UTC), None)

    monkeypatch.setattr(access, "find_key", find_key)


@pytest.fixture
def start_api(broker: "redis.Redis", tmp_path: Path) -> Callable[[], Ask]:
    """Return a function that starts another instance of the API, which takes requests of a key."""

    def start() -> Ask:
        settings = Settings(data_dir=tmp_path, rate_limit_per_minute=LIMIT)
        counters = RedisStorage("redis://", connection_pool=broker.connection_pool)
        service = Service(
            create_engine("postgresql+psycopg://"),
            Blobs(settings.blobs()),
            settings,
            SlidingWindowCounterRateLimiter(counters),
        )

        def ask(key: str) -> None:
            access.authenticate_key(service, key)

        return ask

    return start


def test_a_key_that_asks_too_often_is_told_when_to_come_back(start_api: Callable[[], Ask]) -> None:
    ask = start_api()
    for _ in range(LIMIT):
        ask("ann")

    with pytest.raises(ProblemError, match="more than 5 requests per minute") as refused:
        ask("ann")

    assert refused.value.status == 429
    assert refused.value.headers is not None
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
    ask("bob")


def test_all_processes_of_the_api_count_together(start_api: Callable[[], Ask]) -> None:
    first, second = start_api(), start_api()
    for _ in range(LIMIT - 1):
        first("ann")
    second("ann")

    for ask in (first, second):
        with pytest.raises(ProblemError):
            ask("ann")


def test_without_redis_nobody_is_turned_away_and_the_log_says_so(
    start_api: Callable[[], Ask], redis_server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    ask = start_api()
    for _ in range(LIMIT):
        ask("ann")

    redis_server.connected = False
    ask("ann")

    assert "requests are not counted" in caplog.text
    redis_server.connected = True
    with pytest.raises(ProblemError):
        ask("ann")


def test_a_redis_that_was_started_again_counts_anew(start_api: Callable[[], Ask], broker: "redis.Redis") -> None:
    ask = start_api()
    for _ in range(LIMIT):
        ask("ann")

    broker.flushall()
    broker.script_flush()

    for _ in range(LIMIT):
        ask("ann")
    with pytest.raises(ProblemError):
        ask("ann")
