"""Reads a payload from an image, as evidence that accompanies a verdict. It never changes the verdict."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from starlight_vocabulary.payload import PayloadKind
from worker.v4.containers import survey
from worker.v4.exif import read_comment_text
from worker.v4.exif_blocks import find_exif_block
from worker.v4.headers import ALPHA_PREFIX as ALPHA_PREFIX
from worker.v4.payload_description import Carrier, ReadPayload
from worker.v4.payloads import HEAD_BYTES, read_payload_of
from worker.v4.planes import take_leading_pixels

MESSAGE_BYTES: Final = 64 * 2**10
"""Default limit of the text that is shown, in bytes."""
CARRIER_BYTES: Final = 2048
"""How many bytes of a carrier people are shown."""

_CHANNELS: Final = {"RGB": 3, "RGBX": 4, "RGBA": 4, "RGBa": 4, "L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2}


@dataclass(frozen=True, slots=True)
class BytesCarrier:
    """Bytes that contain only the payload, and end where it does."""

    data: memoryview | bytes

    @property
    def total(self) -> int:
        """The number of bytes."""
        return len(self.data)

    @property
    def is_whole(self) -> bool:
        """True: nothing follows the payload."""
        return True

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""
        return bytes(self.data[:count])


@dataclass(frozen=True, slots=True)
class PixelCarrier:
    """The least significant bits of a pixel method's carrier; empty if the image lacks that carrier."""

    image: Image.Image
    method: str
    bit_order: str | None

    @property
    def total(self) -> int:
        """The number of whole bytes in the carrier."""
        pixels = self.image.width * self.image.height
        channels = _CHANNELS.get(self.image.mode, 0)
        has_alpha = channels in (2, 4) and self.image.mode != "RGBX"
        samples = {"lsb.rgb": 3 * pixels * (channels >= 3), "alpha": pixels * has_alpha}
        return samples.get(self.method, pixels * (channels in (1, 2))) // 8

    @property
    def is_whole(self) -> bool:
        """False: the picture's own bits follow the payload."""
        return False

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""
        count = min(count, self.total)
        if count == 0:
            return b""
        channels = _CHANNELS[self.image.mode]
        if self.method == "lsb.rgb":
            samples = take_leading_pixels(self.image, -(-count * 8 // 3), channels)[:, :3].reshape(-1)
        else:
            pixels = take_leading_pixels(self.image, count * 8, channels)
            samples = pixels[:, -1] if self.method == "alpha" else pixels[:, 0]
        bits = samples[: count * 8] & 1
        return np.packbits(bits, bitorder="big" if self.bit_order == "msb-first" else "little").tobytes()


def read_payload(
    image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int = MESSAGE_BYTES
) -> ReadPayload:
    """Read and interpret the payload that `method` would have hidden in the image; `data` is the whole file.

    At most `limit` bytes of a text are shown. Control characters are kept. The image never makes this raise.
    """
    # Twice the limit, as some writers pad their text.
    return read_payload_of(open_carrier(image, data, method, bit_order, 2 * limit + HEAD_BYTES), limit)


@dataclass(frozen=True, slots=True)
class ReadCarrier:
    """The first bytes of a method's carrier, its total size, and the size of the payload in it, with any header.

    `payload_bytes` is None if nothing is hidden, or its end is unknown.
    """

    head: bytes
    total: int
    payload_bytes: int | None


def open_carrier(image: Image.Image, data: bytes, method: str, bit_order: str | None, most: int) -> Carrier:
    """Return the carrier of a method in an image; `data` is the whole file. At most `most` bytes of EXIF are read."""
    if method == "exif":
        return BytesCarrier(read_comment_text(find_exif_block(data, survey(data)), most))
    if method == "raw":
        return BytesCarrier(memoryview(data)[survey(data).end :])
    return PixelCarrier(image, method, bit_order)


def read_carrier(image: Image.Image, data: bytes, method: str, bit_order: str | None, count: int) -> ReadCarrier:
    """Return the first `count` bytes of a method's carrier. The image never makes this raise."""
    carrier = open_carrier(image, data, method, bit_order, 2 * MESSAGE_BYTES + HEAD_BYTES)
    payload = read_payload_of(carrier, MESSAGE_BYTES).payload
    size = payload.size
    if size is None and payload.text is not None:
        size = len(payload.text.encode("utf-8", "surrogatepass"))
    end = None if size is None or payload.kind is PayloadKind.EMPTY else min(carrier.total, payload.offset + size)
    return ReadCarrier(carrier.take(min(count, carrier.total)), carrier.total, end)


def read_payload_bytes(image: Image.Image, data: bytes, method: str, bit_order: str | None, limit: int) -> bytes:
    """Return the bytes of a payload, at most `limit`; of a text, its UTF-8 without header and end mark."""
    return read_payload(image, data, method, bit_order, limit).body
