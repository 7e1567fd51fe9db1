"""Pictures of single bits of an image, for a person, and of where among them a payload lies. Nothing is judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.v4.extraction import read_carrier
from worker.v4.sample_orders import list_sample_orders, take_pixels

MAX_PICTURE_PIXELS: Final = 4_000_000
"""Of a picture of a bit plane; of a larger image, its first rows."""
LOW_BITS: Final = (0, 1)
"""Bits in which tools hide something."""
BITS: Final = range(8)
NEAR: Final = (128, 32)
"""Columns and rows of what is drawn of an image's start, where payloads begin."""

# A bit that is 0 or 1, and one of the payload that is.
_COLOURS: Final = (0x10, 0x14, 0x18, 0xF2, 0xF2, 0xEE, 0x8F, 0x2D, 0x00, 0xFF, 0xB0, 0x5C)


@dataclass(frozen=True, slots=True)
class MarkedSamples:
    """The first `count` samples of these channels, taken pixel by pixel, row by row: those that hold a payload."""

    channels: tuple[int, ...]
    count: int

    def count_pixels(self, channel: int) -> int:
        """Return in how many of the first pixels this channel holds a part of the payload."""
        if channel not in self.channels:
            return 0
        return max(0, -(-(self.count - self.channels.index(channel)) // len(self.channels)))


NO_SAMPLES: Final = MarkedSamples((), 0)


def list_bit_planes(image: Image.Image) -> Iterator[tuple[str, int, int]]:
    """Yield name, channel and bit of each bit plane; none of an image whose samples have other than eight bits."""
    if any(True for _ in list_sample_orders(image)):
        for channel, band in enumerate(image.getbands()):
            for bit in BITS:
                yield f"{band.lower()}-bit-{bit}", channel, bit


def find_carrier_channels(image: Image.Image, method: str | None) -> tuple[int, ...]:
    """Return the channels in whose lowest bits a pixel method hides; none of another method."""
    last = len(image.getbands()) - 1
    return {"alpha": (last,), "palette": (0,), "lsb.rgb": (0, 1, 2)}.get(method or "", ())


def find_marked_samples(image: Image.Image, data: bytes, method: str, bit_order: str | None) -> MarkedSamples:
    """Return the samples of the payload that is read by a pixel method, its header too; none where its end is open."""
    channels = find_carrier_channels(image, method)
    size = read_carrier(image, data, method, bit_order, 0).payload_bytes if channels else None
    return MarkedSamples(channels, 8 * size) if size else NO_SAMPLES


def draw_bit_planes(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield a name and a PNG, in black and white, of the two lowest bits of each channel; none of other modes."""
    for name, channel, bit in list_bit_planes(image):
        if bit in LOW_BITS:
            stream = BytesIO()
            Image.fromarray(_take_plane(image, channel, bit).astype(np.bool_)).save(stream, "PNG")
            yield name, stream.getvalue()


def draw_marked_plane(
    image: Image.Image, name: str, marked: MarkedSamples, max_bytes: int, *, near: bool = False
) -> bytes:
    """Return a PNG of a bit plane, with the marked samples in another colour; empty where there is no such plane.

    With `near`, of the image's first columns and rows alone. Of a picture that does not fit, rows are left out.
    """
    found = next(((channel, bit) for each, channel, bit in list_bit_planes(image) if each == name), None)
    if found is None:
        return b""
    plane = _take_plane(image, *found)
    if found[1] == 0:
        plane.reshape(-1)[: marked.count_pixels(found[0])] |= 2
    if near:
        plane = plane[: NEAR[1], : NEAR[0]]
    while len(encoded := _encode(plane)) > max_bytes and len(plane) > 1:
        plane = plane[: len(plane) // 2]
    return encoded if len(encoded) <= max_bytes else b""


def _take_plane(image: Image.Image, channel: int, bit: int) -> NDArray[np.uint8]:
    rows = min(image.height, max(1, MAX_PICTURE_PIXELS // image.width))
    samples = take_pixels(image, rows * image.width, in_columns=False)
    return (samples[:, channel] >> bit & 1).astype(np.uint8).reshape(rows, image.width)


def _encode(plane: NDArray[np.uint8]) -> bytes:
    picture = Image.frombytes("P", plane.shape[::-1], plane.tobytes())
    picture.putpalette(_COLOURS, "RGB")
    stream = BytesIO()
    picture.save(stream, "PNG", bits=2)
    return stream.getvalue()
