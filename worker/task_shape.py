"""The schema of messages: those that say to scan a chunk, or lone chunks, and commands. Unknown fields are left out."""

import base64
import json
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, Json, PlainSerializer, model_validator

from storage.dispatch import LONE_AT_ONCE

SCAN_CHUNK: Final = "worker.scan_chunk"
SCAN_LONE_CHUNKS: Final = "worker.scan_lone_chunks"
# Many times the size of our messages. A longer one is cut off here, and so fails to parse.
MAX_BYTES = 16 * 2**10

Nothing: TypeAlias = Annotated[dict[str, None], Field(max_length=0)]
ChunkIds: TypeAlias = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=LONE_AT_ONCE)]
# Positional arguments, keyword arguments, and Celery's callbacks.
Call: TypeAlias = tuple[ChunkIds, Nothing, dict[str, None]]


def _encode_call(call: Call) -> str:
    chunk_ids, by_name, afterwards = call
    return base64.b64encode(json.dumps([list(map(str, chunk_ids)), by_name, afterwards]).encode()).decode()


class MessagePart(BaseModel, strict=True, extra="ignore"):
    """A model that leaves out unknown fields, such as those of other releases, since they are not checked."""


class _Headers(MessagePart):
    task: Literal["worker.scan_chunk", "worker.scan_lone_chunks"]
    id: UUID
    lang: Literal["py"]
    # The description that Flower shows.
    argsrepr: str = ""


class _DeliveryInfo(MessagePart):
    exchange: Literal[""]
    routing_key: Literal["scan.interactive", "scan.bulk"]
    redelivered: bool = False


class Properties(MessagePart):
    """The properties of every message."""

    delivery_tag: UUID
    body_encoding: Literal["base64"]


class _TaskProperties(Properties):
    delivery_info: _DeliveryInfo
    priority: Annotated[int, Field(ge=0, le=9)]


class Message(MessagePart):
    """The fields that tasks and broadcasts share."""

    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]
    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]


class Task(Message):
    """A message that says to scan chunks."""

    body: Annotated[Json[Call], BeforeValidator(base64.b64decode), PlainSerializer(_encode_call)]
    headers: _Headers
    properties: _TaskProperties

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if self.headers.task == SCAN_CHUNK and len(self.body[0]) > 1:
            raise ValueError(f"{SCAN_CHUNK} takes one chunk")
        return self


class Broadcast(Message):
    """A command of `celery control` or Flower. Celery checks its content if it can be parsed."""

    body: Annotated[Json[dict[str, Any]], BeforeValidator(base64.b64decode)]
    headers: dict[str, Any]
    properties: Properties


def write_lone_task(chunk_ids: Sequence[UUID], queue: str, description: str) -> bytes:
    """Return the message that says to scan these lone chunks together, as Celery would write it to a queue."""
    message = {
        "body": _encode_call((tuple(chunk_ids), {}, {})),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": SCAN_LONE_CHUNKS, "id": str(uuid.uuid4()), "lang": "py", "argsrepr": description},
        "properties": {
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64",
            "priority": 0,
        },
    }
    return json.dumps(message).encode()
