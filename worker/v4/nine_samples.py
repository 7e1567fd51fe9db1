"""The order of stepic, and of a common tutorial: nine samples of R, G, B hold a byte and whether it is the last one."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.v4.sample_orders import take_pixels

NAME: Final = "R,G,B, 1 bit, msb-first, nine samples for each byte"
_PIXELS_OF_BYTE: Final = 3
_FIRST_BYTES: Final = 1024
_MOST_BYTES: Final = 2**20
# Fewer bytes before one that is marked as the last occur by chance.
_FEWEST: Final = 4


@dataclass(frozen=True, slots=True)
class NineSamples:
    """The bytes up to the one that is marked as the last; `total` is their number, or that of all without a mark."""

    image: Image.Image
    total: int

    @property
    def name(self) -> str:
        """A description of the order."""
        return NAME

    @property
    def is_whole(self) -> bool:
        """False: the mark may be a bit of the picture."""
        return False

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""
        return np.packbits(_read_bits(self.image, min(count, self.total))[:, :8]).tobytes()


def find_nine_samples(image: Image.Image) -> NineSamples | None:
    """Return the bytes of an image in this order; None if there are too few, or the image has no R, G and B."""
    if image.getbands()[:3] != ("R", "G", "B"):
        return None
    total = image.width * image.height // _PIXELS_OF_BYTE
    count = min(_FIRST_BYTES, total)
    while count:
        marks = _read_bits(image, count)[:, 8]
        if marks.any():
            total = int(marks.argmax()) + 1
            break
        if count in (total, _MOST_BYTES):
            break
        count = min(8 * count, total, _MOST_BYTES)
    return NineSamples(image, total) if total >= _FEWEST else None


def _read_bits(image: Image.Image, count: int) -> NDArray[np.uint8]:
    """Return the lowest bits of the samples of the first `count` bytes, as (count, 9)."""
    samples = take_pixels(image, _PIXELS_OF_BYTE * count, in_columns=False)[:, :3].reshape(-1)
    return np.bitwise_and(samples.reshape(-1, 3 * _PIXELS_OF_BYTE), np.uint8(1))
