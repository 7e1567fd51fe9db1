"""The contents of Redis: queues of chunk ids, and delivered messages that are not acknowledged yet."""

import logging
from collections.abc import Mapping
from typing import Any

import redis
from redis.sentinel import Sentinel

from starlight_vocabulary.words import Priority
from storage.redis_urls import read_sentinels

# kombu appends these to a queue's name, for messages with other priorities than 0.
SEPARATOR = "\x06\x16"
OTHER_PRIORITIES = (3, 6, 9)
# kombu's keys for delivered messages that are not acknowledged yet, and for their delivery times.
UNACKNOWLEDGED = "unacked"
DELIVERED_AT = "unacked_index"

log = logging.getLogger(__name__)


def name_queue(priority: Priority) -> str:
    """Return the name of the queue for chunks of this priority."""
    return f"scan.{priority}"


QUEUES = tuple(name_queue(priority) for priority in Priority)


def list_parts(queue: str) -> list[str]:
    """Return the keys of a queue's lists. We use only the first; foreign messages may be in the others."""
    return [queue, *(f"{queue}{SEPARATOR}{step}" for step in OTHER_PRIORITIES)]


# The Redis type of each of these keys.
KINDS = dict.fromkeys((part for queue in QUEUES for part in list_parts(queue)), "list") | {
    UNACKNOWLEDGED: "hash",
    DELIVERED_AT: "zset",
}


def open_redis(url: str, timeout_s: float | None = None) -> "redis.Redis":
    """Return a client of the server at this URL; with Sentinels, each connection goes to the current master."""
    limits: dict[str, Any] = (
        {} if timeout_s is None else {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    )
    sentinels = read_sentinels(url)
    if sentinels is None:
        return redis.Redis.from_url(url, **limits)
    known: Any = Sentinel(  # type: ignore[no-untyped-call]
        sentinels.addresses, sentinel_kwargs={**sentinels.login, **limits}, **sentinels.login, **limits
    )
    client: redis.Redis = known.master_for(sentinels.service)
    return client


def drop_foreign_keys(broker: "redis.Redis", kinds: Mapping[str, str] = KINDS) -> bool:
    """Delete keys that have our names and the wrong type, and log them; return whether there were any.

    Chunks whose messages are lost by this are dispatched again.
    """
    dropped = False
    for name, kind in kinds.items():
        answer = broker.type(name)
        found = answer.decode() if isinstance(answer, bytes) else answer
        if found not in (kind, "none"):
            broker.delete(name)
            log.warning("deleted the Redis key %s, which is not ours: it is a %s instead of a %s", name, found, kind)
            dropped = True
    return dropped


def count_messages(broker: "redis.Redis") -> dict[str, int]:
    """Return the number of waiting messages per queue, and under `unacked` the number that workers hold."""
    with broker.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            for part in list_parts(queue):
                pipeline.llen(part)
        pipeline.hlen(UNACKNOWLEDGED)
        *lengths, unacknowledged = pipeline.execute()
    parts = len(lengths) // len(QUEUES)
    waiting = {queue: sum(lengths[place * parts : (place + 1) * parts]) for place, queue in enumerate(QUEUES)}
    return {**waiting, UNACKNOWLEDGED: unacknowledged}
