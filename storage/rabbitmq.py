"""The queues in RabbitMQ: the number of messages that wait in them."""

import threading
from typing import Any

from kombu import Connection

from storage.broker import QUEUES
from storage.rabbitmq_urls import read_rabbitmq_url


class RabbitQueues:
    """Counts the messages that wait in RabbitMQ, by one connection, which is opened again when it is lost.

    Thread-safe.
    """

    name = "RabbitMQ"
    # Only its management plugin knows how many messages have been delivered, some seconds late.
    counts_delivered = False

    def __init__(self, url: str, timeout_s: float) -> None:
        address = read_rabbitmq_url(url)
        limits = {"read_timeout": timeout_s, "write_timeout": timeout_s}
        self._connection = Connection(address.url, ssl=address.tls, connect_timeout=timeout_s, transport_options=limits)
        self._lock = threading.Lock()

    def count_messages(self) -> dict[str, int]:
        """Return the number of waiting messages per queue, without those that workers hold; raises ConnectionError."""
        with self._lock:
            try:
                return {queue: self._count(queue) for queue in QUEUES}
            except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
                self._connection.collect()
                raise ConnectionError(f"RabbitMQ does not answer: {error}") from error

    def _count(self, queue: str) -> int:
        # Not passively: a queue that is absent, because nothing was sent or received yet, would close the channel.
        channel: Any = self._connection.channel()
        with channel:
            return int(channel.queue_declare(queue, durable=True, auto_delete=False).message_count)
