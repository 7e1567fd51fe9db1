"""How many messages the broker holds: Redis, or RabbitMQ if it is configured."""

from typing import Protocol

import redis

from storage.broker import count_messages

TIMEOUT_S = 5.0


class MessageCounter(Protocol):
    """Counts the messages in a broker."""

    @property
    def name(self) -> str:
        """The broker's name, for people."""

    @property
    def counts_delivered(self) -> bool:
        """Whether messages that workers hold, without having acknowledged them, are counted too."""

    def count_messages(self) -> dict[str, int]:
        """Return the number of messages per queue; raises redis.RedisError or OSError if the broker fails."""


class RedisCounter:
    """Counts the messages in Redis; those that workers hold are counted as `unacked`."""

    name = "Redis"
    counts_delivered = True

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def count_messages(self) -> dict[str, int]:
        """Return the number of messages per queue; raises redis.RedisError or OSError if Redis fails."""
        return count_messages(self._client)


def open_counter(broker_url: str | None, client: "redis.Redis") -> MessageCounter:
    """Return the counter of RabbitMQ at this URL, or of Redis if there is none."""
    if broker_url is None:
        return RedisCounter(client)
    # Imported here: few installations have RabbitMQ, and kombu takes a while.
    from storage.rabbitmq import RabbitQueues

    return RabbitQueues(broker_url, TIMEOUT_S)
