"""RAR archives by published structure (RARLAB technical notes, versions 4 and 5); the packed data is random."""

import struct
import zlib

import numpy as np

from research.stego.headers import draw_name

Rng = np.random.Generator

_NEW_END = bytes.fromhex("1d77565103050400")
_OLD_END = bytes.fromhex("c43d7b00400700")


def make_rar(rng: Rng, size: int) -> bytes:
    """Make an archive of either version, of one file with about `size` bytes of packed data."""
    return _new(rng, size) if rng.random() < 0.6 else _old(rng, size)


def _number(value: int) -> bytes:
    """Encode a variable-length integer: seven bits a byte, the lowest first."""
    parts = []
    while True:
        parts.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(parts)


def _block(body: bytes) -> bytes:
    sized = _number(len(body)) + body
    return zlib.crc32(sized).to_bytes(4, "little") + sized


def _new(rng: Rng, size: int) -> bytes:
    start = b"Rar!\x1a\x07\x01\x00"
    data = rng.bytes(size)
    if rng.random() < 0.25:
        # Names are encrypted too: only the encryption header is readable.
        return start + _block(b"\x04\x00\x00\x00\x0f" + rng.bytes(16)) + rng.bytes(16 + size)
    name = draw_name(rng)
    unpacked = int(size * rng.uniform(1.0, 4.0))
    moment = int(rng.integers(10**9, 1_750_000_000))
    method = int(rng.integers(0, 6)) << 7
    file = _number(2) + _number(2) + _number(len(data)) + _number(6) + _number(unpacked) + _number(0o100644)
    file += struct.pack("<II", moment, int(rng.integers(2**32))) + _number(method) + _number(int(rng.integers(2)))
    return start + _block(b"\x01\x00\x00") + _block(file + _number(len(name)) + name) + data + _NEW_END


def _old(rng: Rng, size: int) -> bytes:
    start = b"Rar!\x1a\x07\x00" + bytes.fromhex("cf907300000d00000000000000")
    data, name = rng.bytes(size), draw_name(rng)
    flags = 0x8020 | (4 if rng.random() < 0.3 else 0)
    head = struct.pack("<BHH", 0x74, flags, 32 + len(name))
    head += struct.pack("<IIBIIBBHI", size, int(size * rng.uniform(1, 4)), int(rng.choice([2, 3])),
                        int(rng.integers(2**32)), int(rng.integers(2**32)), 29, 0x30 + int(rng.integers(6)),
                        len(name), 0x20)  # fmt: skip
    head += name
    return start + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + head + data + _OLD_END
