"""Counting the messages in Redis."""

import uuid

import fakeredis
import pytest
import redis
from kombu.transport.redis import Channel

from starlight_vocabulary.words import Priority
from storage.broker import QUEUES, UNACKNOWLEDGED, count_messages, list_parts, name_queue


def test_an_empty_redis_holds_nothing(broker: "redis.Redis") -> None:
    assert count_messages(broker) == dict.fromkeys((*QUEUES, UNACKNOWLEDGED), 0)


def test_each_queue_and_what_workers_have_is_counted_apart(broker: "redis.Redis") -> None:
    for priority, count in ((Priority.INTERACTIVE, 2), (Priority.BULK, 3)):
        for _ in range(count):
            broker.lpush(name_queue(priority), str(uuid.uuid4()))
    broker.hset(UNACKNOWLEDGED, "tag", "message")
    broker.lpush("celery", "a message of somebody else")

    assert count_messages(broker) == {"scan.interactive": 2, "scan.bulk": 3, UNACKNOWLEDGED: 1}


def test_messages_of_every_priority_are_counted(broker: "redis.Redis") -> None:
    parts = list_parts("scan.bulk")
    assert parts[1:] == [f"scan.bulk{Channel.sep}{step}" for step in Channel.priority_steps[1:]]
    for part in parts:
        broker.lpush(part, str(uuid.uuid4()))

    assert count_messages(broker)["scan.bulk"] == len(parts) == 4


def test_a_redis_that_is_away_is_not_an_empty_one(broker: "redis.Redis", redis_server: fakeredis.FakeServer) -> None:
    redis_server.connected = False

    with pytest.raises(redis.ConnectionError):
        count_messages(broker)
