"""Writers that are not in the training data, to measure how V4 generalises.

Nothing here may be used to make training data.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from research.stego.headers import Writing
from research.stego.payloads import draw_text
from research.stego.programs import draw_code
from research.stego.tails import Tail

Rng = np.random.Generator


def _varint(rng: Rng, text: bytes) -> bytes:
    """Prefix the length as a varint of Protocol Buffers, seven bits a byte."""
    del rng
    size, parts = len(text), []
    while True:
        parts.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
        if not size:
            return bytes(parts) + text


def _checked(rng: Rng, text: bytes) -> bytes:
    del rng
    return struct.pack(">II", zlib.crc32(text), len(text)) + text


def _twice(rng: Rng, text: bytes) -> bytes:
    order = "<" if rng.random() < 0.5 else ">"
    return struct.pack(order + "II", len(text), len(text)) + text


def _dated(rng: Rng, text: bytes) -> bytes:
    return struct.pack("<IHH", int(rng.integers(1_500_000_000, 1_750_000_000)), 1, len(text)) + text


def _tagged(rng: Rng, text: bytes) -> bytes:
    """Write tag, length and value of three fields: a number, a name, the text."""
    name = f"note{rng.integers(100)}".encode()
    fields = ((1, bytes([int(rng.integers(256))])), (2, name), (3, text))
    return b"".join(bytes([tag]) + len(value).to_bytes(2, "big") + value for tag, value in fields)


def _behind_zeros(rng: Rng, text: bytes) -> bytes:
    return bytes(int(rng.integers(4, 25))) + text


UNSEEN_WRITERS: Final[dict[str, Callable[[Rng, bytes], bytes]]] = {
    "length of seven bits a byte": _varint,
    "checksum and length": _checked,
    "length twice": _twice,
    "date, version, length": _dated,
    "tag, length, value": _tagged,
    "zeros first": _behind_zeros,
}


def write_unseen(rng: Rng, writer: str, size: int) -> Writing:
    """Draw text of about `size` bytes and write it with one of `UNSEEN_WRITERS`."""
    text = draw_text(rng, size)
    return Writing(UNSEEN_WRITERS[writer](rng, text), text)


def _after(start: str, *, code: bool = False) -> Callable[[Rng, int], bytes]:
    def make(rng: Rng, size: int) -> bytes:
        return bytes.fromhex(start) + (draw_code(rng, size) if code else rng.bytes(size))

    return make


def _sqlite(rng: Rng, size: int) -> bytes:
    head = b"SQLite format 3\x00" + struct.pack(">HBBBBBBIIII", 4096, 1, 1, 0, 64, 32, 32, 3, 2, 0, 0)
    return head.ljust(100, b"\x00") + b"\r\x00\x00\x00\x01" + draw_code(rng, size) + draw_text(rng, size)


def _wave(rng: Rng, size: int) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 44100, 88200, 2, 16)
    samples = rng.normal(0, 2000, size // 2 + 1).astype("<i2").tobytes()
    body = b"WAVEfmt " + form + b"data" + len(samples).to_bytes(4, "little") + samples
    return b"RIFF" + len(body).to_bytes(4, "little") + body


UNSEEN_FILES: Final[dict[str, Callable[[Rng, int], bytes]]] = {
    "lz4": _after("04224d186440a7"),
    "sqlite": _sqlite,
    "ole document": _after("d0cf11e0a1b11ae1" + "00" * 16 + "3e000300feff0900060000000000000000000000", code=True),
    "mach-o": _after("cffaedfe07000001030000000200000010000000580500008500200000000000190000004800", code=True),
    "java class": _after("cafebabe0000003700220a000600140900150016", code=True),
    "cabinet": _after("4d534346000000005a0100000000000002c000000000000003010100010000003930"),
    "wave": _wave,
    "flac": _after("664c614300000022100010000000100000", code=False),
}


def append_unseen(rng: Rng, kind: str, size: int) -> Tail:
    """Make a file of one kind of `UNSEEN_FILES` with about `size` bytes of content, to be appended."""
    made = UNSEEN_FILES[kind](rng, size)
    return Tail(made, made, binary=True, writer=kind)
