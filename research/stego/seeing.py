"""What V4 sees of a file: its planes, as a worker takes them of whole files and of those that were cut off."""

from contextlib import nullcontext
from functools import cache

import numpy as np

from research.stego.corpus import LARGEST, open_image
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.v4.planes import extract_planes


class _Lender:
    """Has memory for every picture."""

    def hold(self, size: int) -> nullcontext[None]:
        """Hold nothing."""
        del size
        return nullcontext()


def take_planes(data: bytes, *, is_cut: bool = False) -> np.void:
    """Return the planes of a file, or of what can be seen of one that was cut off.

    Raises `OSError` or `ValueError` if nothing can be seen of it.
    """
    if not is_cut:
        return extract_planes(open_image(data), data)
    try:
        with _decoder().decode_damaged(data) as (image, _):
            return extract_planes(image, data)
    except ImageError as error:
        raise OSError(error.detail) from error


@cache
def _decoder() -> Decoder:
    return Decoder(LARGEST, _Lender())
