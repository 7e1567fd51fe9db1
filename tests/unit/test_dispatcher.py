"""The dispatcher without a broker: it waits, picks nothing, and publishes when the broker is back."""

import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import fakeredis
import pytest
import redis
from sqlalchemy import create_engine

from producer.dispatching import dispatcher as dispatcher_module
from producer.dispatching.dispatcher import Dispatcher
from starlight_vocabulary.words import Priority
from storage.broker import name_queue
from storage.dispatch import DispatchedChunk
from storage.message_counts import RedisCounter
from storage.settings import Settings
from tests.kit.outages import OutageLog, record_outages
from tests.kit.threads import PATIENCE_S, start_thread

REPUBLISH_AFTER_S = 5.0


class EnoughError(Exception):
    """Raised to end a dispatcher, which would run for ever."""


@dataclass
class Backlog:
    """A stand-in for PostgreSQL: waiting and picked bulk chunks."""

    pending: list[DispatchedChunk] = field(default_factory=list)
    dispatched: list[DispatchedChunk] = field(default_factory=list)

    def pick(self, _: object, priority: Priority, window: int, _workers: int) -> list[DispatchedChunk]:
        room = window - len(self.dispatched) if priority is Priority.BULK else 0
        picked, self.pending = self.pending[:room], self.pending[room:]
        self.dispatched += picked
        return picked

    def list_waiting(self, _: object) -> list[Priority]:
        return [Priority.BULK] if self.pending else []

    def list_unclaimed(self, _: object, older_than_s: float) -> list[DispatchedChunk]:
        return self.dispatched if older_than_s == REPUBLISH_AFTER_S else []


def make_chunk() -> DispatchedChunk:
    return DispatchedChunk(uuid.uuid4(), Priority.BULK, uuid.uuid4(), 4, None)


@pytest.fixture
def backlog(monkeypatch: pytest.MonkeyPatch) -> Backlog:
    """Two waiting chunks, in place of PostgreSQL."""
    backlog = Backlog([make_chunk(), make_chunk()])
    monkeypatch.setattr(dispatcher_module, "listen", lambda *_: itertools.repeat(set()))
    monkeypatch.setattr(dispatcher_module, "recover_lost_chunk", lambda *_: None)
    monkeypatch.setattr(dispatcher_module, "list_live_workers", lambda *_: [])
    monkeypatch.setattr(dispatcher_module, "count_expected_messages", lambda _, **__: len(backlog.dispatched))
    monkeypatch.setattr(dispatcher_module, "redate_unclaimed", backlog.list_unclaimed)
    monkeypatch.setattr(dispatcher_module, "pick_chunks", backlog.pick)
    monkeypatch.setattr(dispatcher_module, "list_waiting_priorities", backlog.list_waiting)
    return backlog


@pytest.fixture
def outages() -> Iterator[OutageLog]:
    with record_outages() as log:
        yield log


class Publisher:
    """Publishes bare ids; the connection breaks, and `run` ends, after so many."""

    def __init__(self, broker: "redis.Redis", server: fakeredis.FakeServer) -> None:
        self._broker = broker
        self._server = server
        self.breaks_after: int | None = None
        self.ends_after: int | None = None
        self.published = 0

    def publish(self, chunks: Sequence[DispatchedChunk]) -> None:
        (chunk,) = chunks
        if self.published == self.breaks_after:
            self._server.connected, self.breaks_after = False, None
        self._broker.lpush(name_queue(chunk.priority), str(chunk.chunk_id))
        self.published += 1
        if self.published == self.ends_after:
            raise EnoughError


@pytest.fixture
def publisher(broker: "redis.Redis", redis_server: fakeredis.FakeServer) -> Publisher:
    return Publisher(broker, redis_server)


@pytest.fixture
def dispatcher(broker: "redis.Redis", publisher: Publisher, tmp_path: Path) -> Dispatcher:
    settings = Settings(data_dir=tmp_path, dispatch_window=4, republish_after_s=REPUBLISH_AFTER_S)
    return Dispatcher(create_engine("postgresql+psycopg://"), RedisCounter(broker), settings, publisher.publish)


def list_messages(broker: "redis.Redis") -> list[bytes | str]:
    """Return the ids in the queue, oldest first."""
    return broker.lrange(name_queue(Priority.BULK), 0, -1)[::-1]


def write_messages(*chunks: DispatchedChunk) -> list[bytes]:
    """Return the ids of these chunks, as the queue contains them."""
    return [str(chunk.chunk_id).encode() for chunk in chunks]


def test_nothing_is_picked_while_the_broker_is_away(
    dispatcher: Dispatcher, backlog: Backlog, redis_server: fakeredis.FakeServer
) -> None:
    redis_server.connected = False

    with pytest.raises(redis.ConnectionError):
        dispatcher.do_round()

    assert (len(backlog.pending), backlog.dispatched) == (2, [])


def test_a_chunk_whose_message_was_not_taken_is_published_in_the_next_round(
    dispatcher: Dispatcher,
    backlog: Backlog,
    publisher: Publisher,
    broker: "redis.Redis",
    redis_server: fakeredis.FakeServer,
) -> None:
    publisher.breaks_after = 1
    with pytest.raises(redis.ConnectionError):
        dispatcher.do_round()

    redis_server.connected = True
    dispatcher.do_round()

    # The first chunk is there twice, but can be claimed only once.
    first, second = backlog.dispatched
    assert list_messages(broker) == write_messages(first, first, second)


def test_what_is_lost_with_the_broker_s_memory_is_published_again(
    dispatcher: Dispatcher, backlog: Backlog, broker: "redis.Redis"
) -> None:
    dispatcher.do_round()

    broker.flushall()
    dispatcher.do_round()

    assert list_messages(broker) == write_messages(*backlog.dispatched)


def test_messages_that_wait_are_not_published_again(
    dispatcher: Dispatcher, backlog: Backlog, broker: "redis.Redis"
) -> None:
    for _ in range(3):
        dispatcher.do_round()

    assert list_messages(broker) == write_messages(*backlog.dispatched)


def test_a_running_dispatcher_waits_for_the_broker_and_says_so_once(
    dispatcher: Dispatcher,
    backlog: Backlog,
    publisher: Publisher,
    broker: "redis.Redis",
    redis_server: fakeredis.FakeServer,
    outages: OutageLog,
) -> None:
    redis_server.connected, publisher.ends_after = False, 2

    running = start_thread(dispatcher.run)
    assert outages.waits.wait(PATIENCE_S)
    redis_server.connected = True

    assert isinstance(running.exception(PATIENCE_S), EnoughError)
    assert list_messages(broker) == write_messages(*backlog.dispatched)
    assert outages.lines[0].startswith("Redis does not do its work; waiting until it does: ")
    assert outages.lines[1].startswith("Redis works again after ")
    assert len(outages.lines) == 2
