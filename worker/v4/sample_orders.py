"""The orders in which tools hide bits in pixels: which channels, how many bits of each, rows or columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from starlight_vocabulary.words import BIT_ORDERS, BitOrder

# Modes with eight bits a channel.
_MODES: Final = frozenset({
    "L", "P", "LA", "La", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB",
})  # fmt: skip
_BIT_COUNTS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """The lowest `bits` of some channels of each pixel, in the order of columns or rows.

    The lower one of two bits of a sample comes first if the bit order is LSB-first.
    """

    image: Image.Image
    channels: tuple[int, ...]
    bits: int
    bit_order: BitOrder
    in_columns: bool

    @property
    def name(self) -> str:
        """A description of the order."""
        bands = self.image.getbands()
        channels = ",".join(bands[channel] for channel in self.channels)
        count = "1 bit" if self.bits == 1 else f"{self.bits} bits"
        return f"{channels}, {count}, {self.bit_order}{', columns' if self.in_columns else ''}"

    @property
    def total(self) -> int:
        """The number of whole bytes."""
        return self.image.width * self.image.height * len(self.channels) * self.bits // 8

    @property
    def is_whole(self) -> bool:
        """False: the picture's own bits follow the payload."""
        return False

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""
        count = min(count, self.total)
        pixels = -(-count * 8 // (len(self.channels) * self.bits))
        samples = take_pixels(self.image, pixels, in_columns=self.in_columns)[:, self.channels].reshape(-1)
        shifts = range(self.bits) if self.bit_order is BitOrder.LSB_FIRST else range(self.bits - 1, -1, -1)
        bits = np.stack([samples >> shift & 1 for shift in shifts], axis=1).reshape(-1)
        packed = np.packbits(bits[: count * 8], bitorder="little" if self.bit_order is BitOrder.LSB_FIRST else "big")
        return packed.tobytes()


def list_sample_orders(image: Image.Image) -> Iterator[SampleOrder]:
    """Yield every order for this image; none if its samples do not have eight bits."""
    if image.mode not in _MODES:
        return
    bands = len(image.getbands())
    singles = [(channel,) for channel in range(bands)]
    groups = [tuple(range(bands))] if bands > 1 else []
    if bands >= 3:
        groups = [(0, 1, 2), (2, 1, 0), *(groups if bands > 3 else [])]
    for channels in [*groups, *singles]:
        for bits in _BIT_COUNTS:
            for in_columns in (False, True):
                for bit_order in BIT_ORDERS[:2]:
                    yield SampleOrder(image, channels, bits, bit_order, in_columns)


def take_pixels(image: Image.Image, count: int, *, in_columns: bool) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return the first `count` pixels (fewer if the image has fewer), as (pixels, channels), one byte per channel."""
    bands = len(image.getbands())
    length = image.height if in_columns else image.width
    lines = min(image.width if in_columns else image.height, -(-count // length)) if length else 0
    if lines == 0:
        return np.zeros((0, bands), np.uint8)
    box = (0, 0, lines, image.height) if in_columns else (0, 0, image.width, lines)
    head = image.crop(box)
    samples = np.frombuffer(head.tobytes(), np.uint8).reshape(head.height, head.width, -1)
    return (samples.swapaxes(0, 1) if in_columns else samples).reshape(-1, samples.shape[2])[:count]
