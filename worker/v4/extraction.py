"""Reading a payload back out of an image, as evidence beside a verdict. It never changes the verdict."""

import unicodedata
from collections import Counter
from typing import Final

import numpy as np
from PIL import Image

from worker.v4.containers import survey
from worker.v4.exif import CHARSETS, user_comment
from worker.v4.methods import ALPHA_PREFIX
from worker.v4.planes import leading_pixels

MESSAGE_BYTES: Final = 4096
"""Default limit of the payload that is read, in bytes."""

_CHANNELS: Final = {"RGB": 3, "RGBX": 4, "RGBA": 4, "RGBa": 4, "L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2}


def extract_message(
    image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int = MESSAGE_BYTES
) -> str | None:
    """Read the payload that `method` would have hidden.

    Returns its text, at most `limit` bytes of it, or a description of the bytes if they are no text; None if there is
    nothing to read. The text is data: control characters are kept. Never raises on account of the image.
    """
    payload = payload_bytes(image, data, method, bit_order, limit)
    if not payload:
        return None
    return as_text(payload) or describe(payload)


def payload_bytes(image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int) -> bytes:
    """Return the payload up to its terminating zero byte or to `limit` bytes, without prefix and charset."""
    if method == "exif":
        return _comment(data, limit)
    if method == "raw":
        return bytes(memoryview(data)[survey(data).end :][:limit]).split(b"\x00", 1)[0]
    # One byte more than the limit and the prefix: the terminator of a payload of exactly `limit` bytes.
    hidden = hidden_bytes(image, method, bit_order, limit + len(ALPHA_PREFIX) + 1)
    if method == "alpha":
        hidden = hidden.removeprefix(ALPHA_PREFIX)
    return hidden.split(b"\x00", 1)[0][:limit]


def hidden_bytes(image: Image.Image, method: str, bit_order: str | None, count: int) -> bytes:
    """Return the first `count` bytes in the least significant bits of the carrier of a pixel method."""
    channels = _CHANNELS.get(image.mode, 0)
    has_alpha = channels in (2, 4) and image.mode != "RGBX"
    if method == "lsb.rgb" and channels >= 3:
        samples = leading_pixels(image, -(-count * 8 // 3), channels)[:, :3].reshape(-1)
    elif method == "alpha" and has_alpha:
        samples = leading_pixels(image, count * 8, channels)[:, -1]
    elif method == "palette" and channels in (1, 2):
        samples = leading_pixels(image, count * 8, channels)[:, 0]
    else:
        return b""
    bits = samples[: min(count, samples.size // 8) * 8] & 1
    return np.packbits(bits, bitorder="big" if bit_order == "msb-first" else "little").tobytes()


def as_text(payload: bytes) -> str | None:
    """Return the payload as text, or None if it is none: not UTF-8, or more than a tenth of it control characters."""
    text = _decoded(payload)
    if not text:
        return None
    control = sum(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in text)
    return text if control * 10 <= len(text) else None


def describe(payload: bytes) -> str:
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


def _comment(data: bytes, limit: int) -> bytes:
    layout = survey(data)
    comment = user_comment(memoryview(data)[layout.exif_start : layout.exif_end])
    charset, body = bytes(comment[:8]), bytes(comment[8 : 8 + 2 * limit])
    if charset not in CHARSETS:
        return bytes(comment[:limit]).split(b"\x00", 1)[0]
    if charset == b"UNICODE\x00":
        body = _utf16(body, bytes(memoryview(data)[layout.exif_start : layout.exif_start + 2]))
    return body.split(b"\x00", 1)[0][:limit]


def _utf16(body: bytes, byte_order: bytes) -> bytes:
    """Convert UTF-16 to UTF-8; writers disagree on the byte order, so the likelier one is taken.

    Read in the wrong order, ASCII becomes ideographs and the letters of one script become those of many; where both
    readings are alike, the EXIF block's own order counts. Some write UTF-8 behind the header all the same.
    """
    text = body.rstrip(b"\x00")
    if b"\x00" not in text and _is_utf8(text):
        return text
    even = body[: len(body) // 2 * 2]
    if even.startswith((b"\xff\xfe", b"\xfe\xff")):
        return even.decode("utf-16", "replace").encode()
    orders = ("utf-16-le", "utf-16-be") if byte_order == b"II" else ("utf-16-be", "utf-16-le")
    readings = [even.decode(order, "replace") for order in orders]
    return max(readings, key=_likelihood).encode()


def _likelihood(text: str) -> tuple[int, int]:
    """Count the ASCII characters and the letters of the commonest script among the first 64 characters."""
    scripts = Counter(unicodedata.name(letter, "").split(" ", 1)[0] for letter in text[:64] if letter.isalpha())
    return sum(character.isascii() for character in text[:64]), max(scripts.values(), default=0)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
