"""Lets only valid scan messages from RabbitMQ reach Celery, and only the fields that are checked here."""

import base64
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import amqp
from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import frame_handler
from amqp.serialization import loads
from kombu.transport import pyamqp

from storage.broker import QUEUES
from worker.checked_messages import is_broadcast, read_task
from worker.task_shape import MAX_BYTES

log = logging.getLogger(__name__)

Receive = Callable[[amqp.Message], object]
# Its type, its channel and its content.
Frame = tuple[int, int, bytes]
# The type of a frame with a message's properties, and the bytes of its content before these.
HEADER_FRAME = 2
HEADER_BYTES = 12
NO_PROPERTIES = b"\x00\x00"
# The bytes of a method's frame before its arguments.
METHOD_BYTES = 4


def keep_task(message: amqp.Message) -> bool:
    """Reduce a message to the checked fields; log it and return False if it is no task of ours.

    The dispatcher republishes a chunk whose message was dropped here.
    """
    what = f"a message of {len(message.body):,} bytes"
    envelope = write_envelope(message, what)
    task = None if envelope is None else read_task(envelope, what)
    if task is None:
        return False
    kept = task.model_dump(mode="json", by_alias=True)
    message.body = base64.b64decode(kept["body"])
    message.properties = {
        "content_type": task.content_type,
        "content_encoding": task.content_encoding,
        "application_headers": kept["headers"],
    }
    return True


def keep_broadcast(message: amqp.Message) -> bool:
    """Whether this is a command of `celery control` or Flower; otherwise log it."""
    what = f"a broadcast of {len(message.body):,} bytes"
    envelope = write_envelope(message, what)
    return envelope is not None and is_broadcast(envelope, what)


def write_envelope(message: amqp.Message, what: str) -> bytes | None:
    """Return a message as Celery writes it to Redis; log it and return None if a header is no JSON."""
    properties = message.properties
    body = message.body.encode() if isinstance(message.body, str) else message.body
    envelope = {
        "body": base64.b64encode(body[:MAX_BYTES]).decode(),
        "content-encoding": properties.get("content_encoding"),
        "content-type": properties.get("content_type"),
        "headers": properties.get("application_headers"),
        "properties": {
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {name: message.delivery_info[name] for name in ("exchange", "routing_key", "redelivered")},
            "body_encoding": "base64",
            "priority": properties.get("priority", 0),
        },
    }
    try:
        return json.dumps(envelope).encode()
    except TypeError:
        log.warning("dropped %s, which is not ours: its headers are not JSON", what)
        return None


def read_frames(connection: amqp.Connection, callback: Callable[..., object]) -> Callable[[Frame], object]:
    """Return py-amqp's reader of frames, for which properties that it cannot read are none.

    Otherwise the error would end the worker, and every other one that the message is delivered to afterwards.
    """
    read: Callable[[Frame], object] = frame_handler(connection, callback)

    def read_or_strip(frame: Frame) -> object:
        kind, channel, content = frame
        if kind != HEADER_FRAME:
            return read(frame)
        try:
            return read(frame)
        except Exception:
            return read((kind, channel, bytes(content[:HEADER_BYTES]) + NO_PROPERTIES))

    return read_or_strip


class Channel(pyamqp.Channel):
    """Checks every message before it is read."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - as in py-amqp
        super().__init__(*arguments, **more)
        # Bodies stay bytes: a message would name the codec.
        self.auto_decode = False

    def dispatch_method(self, method_sig: tuple[int, int], payload: bytes, content: amqp.Message) -> None:
        """Handle a method of the server; names of queues and exchanges that are no text are empty."""
        try:
            super().dispatch_method(method_sig, payload, content)
        except UnicodeDecodeError:
            if method_sig != spec.Basic.Deliver:
                raise
            (consumer, tag, redelivered), _ = loads("sLb", payload, METHOD_BYTES)
            # The types of py-amqp lack this method.
            self._on_basic_deliver(consumer, tag, redelivered, "", "", content)  # type: ignore[attr-defined]

    # The consumers of kombu pass a callback always, and by name.
    def basic_consume(  # type: ignore[override]
        self,
        queue: str,
        *,
        callback: Receive,
        no_ack: bool = False,
        **more: Any,  # noqa: ANN401 - as in py-amqp
    ) -> str:
        """Consume a queue; messages that are dropped are rejected, so that RabbitMQ forgets them."""
        keep = keep_task if queue in QUEUES else keep_broadcast

        def receive(message: amqp.Message) -> None:
            if keep(message):
                callback(message)
            elif not no_ack and message.delivery_tag is not None:
                self.basic_reject(message.delivery_tag, requeue=False)

        return super().basic_consume(queue, callback=receive, no_ack=no_ack, **more)

    def basic_ack(self, delivery_tag: int, multiple: bool = False, argsig: str = "Lb") -> Any:  # noqa: ANN401 - as in py-amqp
        """Acknowledge a message, if its connection still exists; otherwise RabbitMQ delivers it again."""
        try:
            return super().basic_ack(delivery_tag, multiple, argsig)
        except RecoverableConnectionError:
            log.info("a message is delivered again, because its connection was lost")


class Connection(pyamqp.Connection):
    """A connection whose channels check messages."""

    Channel = Channel

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - as in py-amqp
        super().__init__(*arguments, **more | {"frame_handler": read_frames})


class Transport(pyamqp.Transport):
    """Kombu's transport, with checked messages."""

    Connection = Connection
