"""Hidden messages for Stargate: complete, and in Base64 if they are not text."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from producer.api.service import Service
from producer.api.stargate.shapes import Encoding
from starlight_vocabulary.payload import Payload, PayloadKind
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Method
from worker.image_reading import ImageReader


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A hidden message: text, or bytes in Base64; "" if there is none. `size` is that of the hidden bytes."""

    text: str
    encoding: Encoding
    size: int
    truncated: bool


NO_MESSAGE = FoundMessage("", "none", 0, truncated=False)


async def read_message(
    service: Service, reading: ImageReader, data: bytes, method: Method, verdict: Verdict
) -> FoundMessage:
    """Return what a method hides in an image. Bytes that are not text only count if V4 found this method."""
    is_named = verdict.stego_type == method
    order = verdict.bit_order if is_named else None
    async with service.reading_turns:
        payload, body = await run_in_threadpool(reading.read, data, method, order)
    if payload is None or payload.kind is PayloadKind.EMPTY:
        return NO_MESSAGE
    if payload.text is not None:
        size = len(body) if payload.size is None else payload.size
        return FoundMessage(payload.text, "utf-8", size, payload.truncated)
    if not (is_named and verdict.is_stego and body):
        return NO_MESSAGE
    size = len(body) if payload.size is None else payload.size
    return FoundMessage(b64encode(body).decode("ascii"), "base64", size, truncated=len(body) < size)


def is_cut(verdict: Verdict) -> bool:
    """Whether the text in a verdict is incomplete, because it exceeds what is stored."""
    payload: Payload | None = verdict.payload
    return verdict.is_stego is True and payload is not None and payload.text is not None and payload.truncated


async def read_whole_text(service: Service, reading: ImageReader, verdict: Verdict, source: Path | bytes) -> str | None:
    """Return the text of a verdict, up to a mebibyte; if it is stored incompletely, it is read from the image again."""
    if not is_cut(verdict) or verdict.stego_type is None:
        return verdict.extracted_message
    data = await run_in_threadpool(_load, source, service.settings.max_image_bytes)
    found = await read_message(service, reading, data, Method(verdict.stego_type), verdict)
    return found.text if found.encoding == "utf-8" else verdict.extracted_message


def _load(source: Path | bytes, most: int) -> bytes:
    if isinstance(source, bytes):
        return source
    with source.open("rb") as file:
        return file.read(most)
