"""Lets only valid scan messages from Redis reach Celery, and only the fields that are checked here.

Celery and kombu trust every message. One that is not JSON ends the worker; one whose id is an object also ends every
worker that receives it afterwards. Neither has a hook that runs before parsing, but the Redis client has one.
"""

from collections.abc import Callable, Mapping
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from pydantic import TypeAdapter, ValidationError
from redis import Redis
from redis.client import PubSub
from redis.exceptions import ResponseError

from storage.broker import KINDS, drop_foreign_keys
from worker.checked_messages import is_broadcast, log_dropped, read_task
from worker.task_shape import MAX_BYTES, MessagePart


class _Unacknowledged(MessagePart):
    headers: dict[str, Any]
    properties: dict[str, Any]


# The message, its exchange and its queue.
_UNACKNOWLEDGED = TypeAdapter(tuple[_Unacknowledged, str, str])


def keep_task(popped: list[bytes] | None, **_: object) -> list[bytes] | None:
    """Return a queue and its message, reduced to the checked fields; log it and return None if it is no task of ours.

    The dispatcher republishes a chunk whose message was dropped here.
    """
    if not popped:
        return None
    queue, raw = popped
    task = read_task(raw[:MAX_BYTES], f"a message of {len(raw):,} bytes from {queue.decode()}")
    return None if task is None else [queue, task.model_dump_json(by_alias=True).encode()]


def keep_unacknowledged(raw: bytes | None, **_: object) -> bytes | None:
    """Return a message that kombu can put back into its queue; log it and return None if kombu cannot."""
    if raw is not None:
        try:
            _UNACKNOWLEDGED.validate_json(raw)
        except ValidationError as error:
            log_dropped(f"an unacknowledged message of {len(raw):,} bytes", error)
            return None
    return raw


class QoS(kombu_redis.QoS):
    """Kombu's QoS, which also survives keys of a wrong type under its names."""

    channel: "Channel"

    def append(self, message: object, delivery_tag: str) -> None:
        """Record that a message was delivered."""
        self.channel.use_keys(lambda: super(QoS, self).append(message, delivery_tag))

    def ack(self, delivery_tag: str) -> None:
        """Record that a message was acknowledged."""
        self.channel.use_keys(lambda: super(QoS, self).ack(delivery_tag))

    def restore_visible(self, *arguments: int, **more: int) -> None:
        """Put messages back that were not acknowledged within the visibility timeout."""
        self.channel.use_keys(lambda: super(QoS, self).restore_visible(*arguments, **more))


class Channel(kombu_redis.Channel):
    """Checks every message before it is read, and drops keys of a wrong type under our names."""

    QoS = QoS
    _shared_client: "Redis | None" = None

    def use_keys(self, use: Callable[[], object], kinds: Mapping[str, str] = KINDS) -> None:
        """Call `use`; if some of its keys have a wrong type, drop these and call it again."""
        try:
            use()
        except ResponseError:
            with self.conn_or_acquire() as client:
                if not drop_foreign_keys(client, kinds):
                    raise
            use()

    def _brpop_read(self, **options: object) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except ResponseError as error:
            with self.conn_or_acquire() as client:
                if not drop_foreign_keys(client):
                    raise
            raise Empty from error

    def _queue_bind(self, exchange: str, *binding: object) -> None:
        prefixes = (self.keyprefix_queue, self.keyprefix_binding_permanent)  # type: ignore[attr-defined]
        kinds = {prefix % exchange: "set" for prefix in prefixes}
        self.use_keys(lambda: super(Channel, self)._queue_bind(exchange, *binding), kinds)  # type: ignore[misc]

    def _create_client(self, asynchronous: bool = False) -> "Redis":
        # Kombu creates a client for each operation, which takes longer than most operations.
        shared = None if asynchronous else self._shared_client
        if shared is not None and shared.connection_pool is self.pool:
            return shared
        client: Redis = super()._create_client(asynchronous)  # type: ignore[misc]
        client.set_response_callback("BRPOP", keep_task)
        client.set_response_callback("HGET", keep_unacknowledged)
        if not asynchronous:
            self._shared_client = client
        return client

    def _handle_message(self, client: "PubSub", r: list[Any]) -> dict[str, Any]:
        received: dict[str, Any] = super()._handle_message(client, r)  # type: ignore[misc]
        data = received["data"]
        # The reply to a subscription is a number.
        if isinstance(data, bytes) and not is_broadcast(data, f"a broadcast of {len(data):,} bytes"):
            received["data"] = None
        return received


class Transport(kombu_redis.Transport):
    """Kombu's transport, with checked messages."""

    Channel = Channel


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same channel, for the master that Sentinels name."""


class SentinelTransport(kombu_redis.SentinelTransport):
    """Kombu's transport for Sentinels, with checked messages."""

    Channel = SentinelChannel
