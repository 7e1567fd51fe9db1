"""Which messages in Redis reach Celery: those that say to scan a chunk, and of these no more than is checked here.

Celery and kombu believe what they find. One message that is no JSON ends the worker, and one whose id is an object ends
every worker after it too. Neither shows a message to anybody before it is read, but the client of Redis does.
"""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from queue import Empty
from typing import Annotated, Any, Literal, Self, TypeAlias
from uuid import UUID

from kombu.transport import redis as kombu_redis
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    Json,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from redis import Redis
from redis.client import PubSub
from redis.exceptions import ResponseError

from storage.broker import KINDS, drop_foreign_keys
from storage.dispatch import LONE_AT_ONCE
from storage.redis_urls import read_sentinels
from worker.app import SCAN_CHUNK
from worker.task_description import check_description

# Many times what ours have; of a longer one no more is parsed, so it is none.
MAX_BYTES = 16 * 2**10

log = logging.getLogger(__name__)

Nothing: TypeAlias = Annotated[dict[str, None], Field(max_length=0)]
ChunkIds: TypeAlias = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=LONE_AT_ONCE)]
# Arguments, arguments by name, and what to do afterwards.
Call: TypeAlias = tuple[ChunkIds, Nothing, dict[str, None]]


def _encode_call(call: Call) -> str:
    chunk_ids, by_name, afterwards = call
    return base64.b64encode(json.dumps([list(map(str, chunk_ids)), by_name, afterwards]).encode()).decode()


class _Part(BaseModel, strict=True, extra="ignore"):
    """Fields that other releases add are left out: nobody has checked them."""


class _Headers(_Part):
    task: Literal["worker.scan_chunk", "worker.scan_lone_chunks"]
    id: UUID
    lang: Literal["py"]
    # For Flower.
    argsrepr: str = ""


class _DeliveryInfo(_Part):
    exchange: Literal[""]
    routing_key: Literal["scan.interactive", "scan.bulk"]
    redelivered: bool = False


class _Properties(_Part):
    delivery_tag: UUID
    body_encoding: Literal["base64"]


class _TaskProperties(_Properties):
    delivery_info: _DeliveryInfo
    priority: Annotated[int, Field(ge=0, le=9)]


class _Message(_Part):
    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]
    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]


class _Task(_Message):
    body: Annotated[Json[Call], BeforeValidator(base64.b64decode), PlainSerializer(_encode_call)]
    headers: _Headers
    properties: _TaskProperties

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if self.headers.task == SCAN_CHUNK and len(self.body[0]) > 1:
            raise ValueError("a chunk is scanned alone")
        return self


class _Broadcast(_Message):
    """A command of `celery control` or Flower, which Celery checks once it can be read."""

    body: Annotated[Json[dict[str, Any]], BeforeValidator(base64.b64decode)]
    headers: dict[str, Any]
    properties: _Properties


class _Unacknowledged(_Part):
    headers: dict[str, Any]
    properties: dict[str, Any]


# With its exchange and queue.
_UNACKNOWLEDGED = TypeAdapter(tuple[_Unacknowledged, str, str])


def keep_task(popped: list[bytes] | None, **_: object) -> list[bytes] | None:
    """Return a queue and its message, as far as that is checked; nothing where it is no task of ours, which is logged.

    A chunk whose message is lost in this way is dispatched again.
    """
    if not popped:
        return None
    queue, raw = popped
    try:
        task = _Task.model_validate_json(raw[:MAX_BYTES])
    except ValidationError as error:
        _tell(f"a message of {len(raw):,} bytes from {queue.decode()}", error)
        return None
    task.headers.argsrepr = check_description(task.headers.argsrepr, task.body[0][0])
    return [queue, task.model_dump_json(by_alias=True).encode()]


def keep_unacknowledged(raw: bytes | None, **_: object) -> bytes | None:
    """Return what kombu can put back into its queue, and nothing where it could not, which is logged."""
    if raw is not None:
        try:
            _UNACKNOWLEDGED.validate_json(raw)
        except ValidationError as error:
            _tell(f"an unacknowledged message of {len(raw):,} bytes", error)
            return None
    return raw


def _tell(what: str, error: ValidationError) -> None:
    # Not its text: that quotes the message, and so do keys further down.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][:2]) or "its start"
    log.warning("dropped %s, which is not ours: %s at %s", what, first["type"], where)


class QoS(kombu_redis.QoS):
    """Kombu's, which outlives keys of another kind under the names of its own."""

    channel: "Channel"

    def append(self, message: object, delivery_tag: str) -> None:
        """Note that a message is delivered."""
        self.channel.use_keys(lambda: super(QoS, self).append(message, delivery_tag))

    def ack(self, delivery_tag: str) -> None:
        """Note that a message is acknowledged."""
        self.channel.use_keys(lambda: super(QoS, self).ack(delivery_tag))

    def restore_visible(self, *arguments: int, **more: int) -> None:
        """Put messages back that were not acknowledged for long."""
        self.channel.use_keys(lambda: super(QoS, self).restore_visible(*arguments, **more))


class Channel(kombu_redis.Channel):
    """Reads no message that is not checked, and drops keys of another kind under the names of ours."""

    QoS = QoS
    _shared_client: "Redis | None" = None

    def use_keys(self, use: Callable[[], object], kinds: Mapping[str, str] = KINDS) -> None:
        """Do something with keys, once more where some were of another kind."""
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
        # Kombu makes one for each thing that it does, which takes longer than most of these things.
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
        # What a subscription is answered with is a number.
        if isinstance(data, bytes):
            try:
                _Broadcast.model_validate_json(data)
            except ValidationError as error:
                _tell(f"a broadcast of {len(data):,} bytes", error)
                received["data"] = None
        return received


class Transport(kombu_redis.Transport):
    """Kombu's, with such channels."""

    Channel = Channel


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same, of the server that Sentinels call the master."""


class SentinelTransport(kombu_redis.SentinelTransport):
    """Kombu's, with such channels."""

    Channel = SentinelChannel


def name_transport(redis_url: str | None) -> str:
    """Return what `broker_transport` of the Celery application is to be, for what is at this URL of Redis."""
    by_sentinels = redis_url is not None and read_sentinels(redis_url) is not None
    return f"{__name__}:{(SentinelTransport if by_sentinels else Transport).__name__}"
