"""What Redis holds: the queues of chunk ids, and the messages that were delivered and not yet acknowledged."""

import logging
from collections.abc import Mapping

import redis

from starlight_vocabulary.words import Priority

# Where kombu keeps delivered messages until they are acknowledged, and when each was delivered.
UNACKNOWLEDGED = "unacked"
DELIVERED_AT = "unacked_index"

log = logging.getLogger(__name__)


def name_queue(priority: Priority) -> str:
    """Return the name of the queue for chunks of this priority."""
    return f"scan.{priority}"


QUEUES = tuple(name_queue(priority) for priority in Priority)


# What each of these is in Redis.
KINDS = dict.fromkeys(QUEUES, "list") | {UNACKNOWLEDGED: "hash", DELIVERED_AT: "zset"}


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
    """Return how many messages wait in each queue, and under `unacked` how many are with workers."""
    with broker.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.llen(queue)
        pipeline.hlen(UNACKNOWLEDGED)
        counts = pipeline.execute()
    return dict(zip((*QUEUES, UNACKNOWLEDGED), counts, strict=True))
