"""What Redis holds: the queues of chunk ids, and the messages that were delivered and not yet acknowledged."""

import logging
from collections.abc import Mapping
from typing import Any

import redis
from redis.sentinel import Sentinel

from starlight_vocabulary.words import Priority
from storage.redis_urls import read_sentinels

# What kombu's names of lists consist of, behind that of a queue, for messages of other priorities than 0.
SEPARATOR = "\x06\x16"
OTHER_PRIORITIES = (3, 6, 9)
# Where kombu keeps delivered messages until they are acknowledged, and when each was delivered.
UNACKNOWLEDGED = "unacked"
DELIVERED_AT = "unacked_index"

log = logging.getLogger(__name__)


def name_queue(priority: Priority) -> str:
    """Return the name of the queue for chunks of this priority."""
    return f"scan.{priority}"


QUEUES = tuple(name_queue(priority) for priority in Priority)


def list_parts(queue: str) -> list[str]:
    """Return the keys of the lists of a queue. Ours has one, what somebody else sends may be in another."""
    return [queue, *(f"{queue}{SEPARATOR}{step}" for step in OTHER_PRIORITIES)]


# What each of these is in Redis.
KINDS = dict.fromkeys((part for queue in QUEUES for part in list_parts(queue)), "list") | {
    UNACKNOWLEDGED: "hash",
    DELIVERED_AT: "zset",
}


def open_redis(url: str, timeout_s: float | None = None) -> "redis.Redis":
    """Return a client of the server at this URL, or of the one that Sentinels call the master whenever it connects."""
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
    """Drop what stands under names of ours and is of another kind, which is logged; return whether there was anything.

    Chunks whose messages are lost in this way are dispatched again.
    """
    dropped = False
    for name, kind in kinds.items():
        answer = broker.type(name)
        found = answer.decode() if isinstance(answer, bytes) else answer
        if found not in (kind, "none"):
            broker.delete(name)
            log.warning("dropped what was in Redis as %s, which is not ours: a %s in place of a %s", name, found, kind)
            dropped = True
    return dropped


def count_messages(broker: "redis.Redis") -> dict[str, int]:
    """Return how many messages wait in each queue, in all its parts, and under `unacked` how many are with workers."""
    with broker.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            for part in list_parts(queue):
                pipeline.llen(part)
        pipeline.hlen(UNACKNOWLEDGED)
        *lengths, unacknowledged = pipeline.execute()
    parts = len(lengths) // len(QUEUES)
    waiting = {queue: sum(lengths[place * parts : (place + 1) * parts]) for place, queue in enumerate(QUEUES)}
    return {**waiting, UNACKNOWLEDGED: unacknowledged}
