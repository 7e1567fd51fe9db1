"""Payloads, and the bytes that tools write for them."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from starlight_vocabulary.payload import Payload, PayloadKind

READ_TEXT: Final = Payload(
    kind=PayloadKind.TEXT, size=5, offset=0, header=None, closed_by="a zero byte", encoding="utf-8", text="hello",
    listing=None, entropy=None, detail=None, truncated=False, limit=4096,
)  # fmt: skip


def make_payload(**changes: Any) -> Payload:
    """Return a payload, the text `hello` unless changed."""
    return replace(READ_TEXT, **changes)


def list_headers(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the payload after each kind of header that tools write, with the name of the kind."""
    size = len(body)
    for letter in "HIQ":
        for order in "<>":
            for unit, value in (("bytes", size), ("bits", 8 * size)):
                if value < 256 ** struct.calcsize(letter):
                    yield f"{order}{letter} {unit}", struct.pack(order + letter, value) + body
    long = struct.pack(">I", size)
    digest = hashlib.sha256(body).digest()
    yield "decimal", f"{size}:".encode() + body
    yield "AI42 first", b"AI42" + long + body
    yield "AI42 behind the length", long + b"AI42" + body
    yield "magic and version", b"STEG\x01" + long + body
    yield "name behind the length", long + b"\x09notes.txt" + body
    yield "name before the length", b"\x09notes.txt" + long + body
    yield "name that a zero ends", struct.pack("<I", size) + b"notes.txt\x00" + body
    yield "magic, version and name", b"HIDE\x02\x00\x09notes.txt" + struct.pack(">Q", size) + body
    yield (
        "flags between length and name",
        b"OPENHIDE\x01" + struct.pack("<I", size) + b"\x01\x09\x00\x00notes.txt" + body,
    )
    yield "digest behind the length", long + digest + body
    yield "digest before the length", digest + long + body
    yield "length of digest and all", struct.pack(">I", size + 32) + digest + body


def spell(text: bytes) -> bytes:
    """Return the text in Base64."""
    return base64.b64encode(text)
