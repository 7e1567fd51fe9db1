"""Pictures of single bit planes of an image, with the payload marked, for people. They do not affect verdicts."""

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
"""The size limit of a picture of a bit plane; of a larger image, only the first rows are drawn."""
LOW_BITS: Final = (0, 1)
"""The bits in which tools hide data."""
BITS: Final = range(8)
NEAR: Final = (128, 32)
"""How many columns and rows are drawn of the start of an image, where payloads begin."""

# Colours of the bits 0 and 1 outside the payload, and of 0 and 1 within it.
_COLOURS: Final = (0x10, 0x14, 0x18, 0xF2, 0xF2, 0xEE, 0x8F, 0x2D, 0x00, 0xFF, 0xB0, 0x5C)


@dataclass(frozen=True, slots=True)
class MarkedSamples:
    """The samples that hold a payload: the first `count` of these channels, pixel by pixel, row by row."""

    channels: tuple[int, ...]
    count: int

    def count_pixels(self, channel: int) -> int:
        """Return in how many pixels, from the first on, this channel holds a bit of the payload."""
        if channel not in self.channels:
            return 0
        return max(0, -(-(self.count - self.channels.index(channel)) // len(self.channels)))


NO_SAMPLES: Final = MarkedSamples((), 0)


def list_bit_planes(image: Image.Image) -> Iterator[tuple[str, int, int]]:
    """Yield name, channel and bit of each bit plane; nothing for an image whose samples do not have eight bits."""
    if any(True for _ in list_sample_orders(image)):
        for channel, band in enumerate(image.getbands()):
            for bit in BITS:
                yield f"{band.lower()}-bit-{bit}", channel, bit


def find_carrier_channels(image: Image.Image, method: str | None) -> tuple[int, ...]:
    """Return the channels in whose lowest bits a pixel method hides data; none for other methods."""
    last = len(image.getbands()) - 1
    return {"alpha": (last,), "palette": (0,), "lsb.rgb": (0, 1, 2)}.get(method or "", ())


def find_marked_samples(image: Image.Image, data: bytes, method: str, bit_order: str | None) -> MarkedSamples:
    """Return the samples of a pixel method's payload, with its header; none if the end of the payload is unknown."""
    channels = find_carrier_channels(image, method)
    size = read_carrier(image, data, method, bit_order, 0).payload_bytes if channels else None
    return MarkedSamples(channels, 8 * size) if size else NO_SAMPLES


def draw_bit_planes(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield name and black-and-white PNG of the two lowest bits of each channel, if `list_bit_planes` has any."""
    for name, channel, bit in list_bit_planes(image):
        if bit in LOW_BITS:
            stream = BytesIO()
            Image.fromarray(_take_plane(image, channel, bit).astype(np.bool_)).save(stream, "PNG")
            yield name, stream.getvalue()


def draw_marked_plane(
    image: Image.Image, name: str, marked: MarkedSamples, max_bytes: int, *, near: bool = False
) -> bytes:
    """Return a PNG of a bit plane, with the marked samples in another colour; empty if there is no such plane.

    With `near`, only the first columns and rows are drawn. Rows are left out until the PNG fits into `max_bytes`.
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
