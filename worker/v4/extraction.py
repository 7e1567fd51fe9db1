"""Reading a payload back out of an image, as evidence beside a verdict. It never changes the verdict."""

import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from worker.v4.containers import survey
from worker.v4.exif import read_comment_text
from worker.v4.planes import take_leading_pixels

MESSAGE_BYTES: Final = 4096
"""Default limit of the payload that is read, in bytes."""

ALPHA_PREFIX: Final = b"AI42"
"""What every `alpha` payload begins with."""

_CHANNELS: Final = {"RGB": 3, "RGBX": 4, "RGBA": 4, "RGBa": 4, "L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2}


@dataclass(frozen=True, slots=True)
class ExtractedMessage:
    """The text of a payload of so many bytes, or a description of them where they are no text."""

    text: str
    is_text: bool
    payload_bytes: int


def extract_message(
    image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int = MESSAGE_BYTES
) -> ExtractedMessage | None:
    """Read the payload that `method` would have hidden, at most `limit` bytes of it; None if there is nothing to read.

    The text is data: control characters are kept. Never raises on account of the image.
    """
    payload = read_payload_bytes(image, data, method, bit_order, limit)
    if not payload:
        return None
    text = decode_text(payload)
    return ExtractedMessage(text or describe_payload(payload), text is not None, len(payload))


def read_payload_bytes(image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int) -> bytes:
    """Return the payload up to its terminating zero byte or to `limit` bytes, without prefix and charset."""
    if method == "exif":
        layout = survey(data)
        exif = memoryview(data)[layout.exif_start : layout.exif_end]
        return read_comment_text(exif, limit).split(b"\x00", 1)[0][:limit]
    if method == "raw":
        return bytes(memoryview(data)[survey(data).end :][:limit]).split(b"\x00", 1)[0]
    # One byte more than the limit and the prefix: the terminator of a payload of exactly `limit` bytes.
    hidden = read_hidden_bytes(image, method, bit_order, limit + len(ALPHA_PREFIX) + 1)
    if method == "alpha":
        hidden = hidden.removeprefix(ALPHA_PREFIX)
    return hidden.split(b"\x00", 1)[0][:limit]


def read_hidden_bytes(image: Image.Image, method: str, bit_order: str | None, count: int) -> bytes:
    """Return the first `count` bytes in the least significant bits of the carrier of a pixel method."""
    channels = _CHANNELS.get(image.mode, 0)
    has_alpha = channels in (2, 4) and image.mode != "RGBX"
    if method == "lsb.rgb" and channels >= 3:
        samples = take_leading_pixels(image, -(-count * 8 // 3), channels)[:, :3].reshape(-1)
    elif method == "alpha" and has_alpha:
        samples = take_leading_pixels(image, count * 8, channels)[:, -1]
    elif method == "palette" and channels in (1, 2):
        samples = take_leading_pixels(image, count * 8, channels)[:, 0]
    else:
        return b""
    bits = samples[: min(count, samples.size // 8) * 8] & 1
    return np.packbits(bits, bitorder="big" if bit_order == "msb-first" else "little").tobytes()


def decode_text(payload: bytes) -> str | None:
    """Return the payload as text, or None if it is none: not UTF-8, or more than a tenth of it control characters."""
    text = _decoded(payload)
    if not text:
        return None
    control = sum(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in text)
    return text if control * 10 <= len(text) else None


def describe_payload(payload: bytes) -> str:
    """State size, entropy and first bytes of a payload that is no text."""
    counts = np.bincount(np.frombuffer(payload, np.uint8))
    shares = counts[counts > 0] / len(payload)
    entropy = -float(np.sum(shares * np.log2(shares)))
    unit = "byte" if len(payload) == 1 else "bytes"
    more = "…" if len(payload) > 16 else ""
    return f"{len(payload)} {unit}, entropy {abs(entropy):.1f} bits/byte, first bytes {payload[:16].hex()}{more}"


def _decoded(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        # A limit may cut the last character in two.
        cut = error.start >= len(payload) - 3 and error.reason == "unexpected end of data"
        return payload[: error.start].decode() if cut else None
