"""Extracts the planes of whole and truncated files as a worker does."""

from contextlib import nullcontext
from functools import cache

import numpy as np

from research.stego.corpus import LARGEST, open_image
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.v4.planes import extract_planes


class _Lender:
    """Grants memory without a limit."""

    def hold(self, size: int) -> nullcontext[None]:
        """Return a context that does nothing."""
        del size
        return nullcontext()


def take_planes(data: bytes, *, is_cut: bool = False) -> np.void:
    """Return the planes of a file, or of the part of a truncated one that can be decoded.

    Raises `OSError` or `ValueError` if nothing can be decoded.
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
