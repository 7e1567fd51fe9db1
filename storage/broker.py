"""What Redis holds: the queues of chunk ids, and the messages that were delivered and not yet acknowledged."""

import redis

from starlight_vocabulary.words import Priority

# Where kombu keeps delivered messages until they are acknowledged.
UNACKNOWLEDGED = "unacked"


def name_queue(priority: Priority) -> str:
    """Return the name of the queue for chunks of this priority."""
    return f"scan.{priority}"


QUEUES = tuple(name_queue(priority) for priority in Priority)


def count_messages(broker: "redis.Redis") -> dict[str, int]:
    """Return how many messages wait in each queue, and under `unacked` how many are with workers."""
    with broker.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.llen(queue)
        pipeline.hlen(UNACKNOWLEDGED)
        counts = pipeline.execute()
    return dict(zip((*QUEUES, UNACKNOWLEDGED), counts, strict=True))
