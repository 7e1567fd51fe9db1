"""Planes of whole pictures, and of pictures that are decoded only as far as V4 reads."""

from typing import Final

import pytest

from starlight_vocabulary.words import ErrorCode
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.scanning.jpeg_shortening import read_jpeg_header
from worker.scanning.png_shortening import read_png_header
from worker.v4.planes import count_rows_read, extract_planes

# A limit below that of other tests would hold for them too: Pillow has one for the process.
DECODER: Final = Decoder(50_000_000, Budget(10**9))


def shorten(data: bytes) -> bytes | None:
    """Shorten a PNG or JPEG to the rows that V4 reads."""
    header = read_png_header(data) or read_jpeg_header(data)
    return header.shorten(data, count_rows_read(header.width, header.height)) if header else None


def take_planes(data: bytes) -> tuple[bytes, ErrorCode | None]:
    """Return the planes and the damage of the whole picture."""
    with DECODER.decode_damaged(data) as (image, damage):
        return extract_planes(image, data).tobytes(), damage.code if damage else None


def take_planes_of_first_rows(data: bytes) -> tuple[bytes, ErrorCode | None]:
    """Return the planes as workers take them, and the damage."""
    with DECODER.decode_first_rows(data) as (image, height, damage):
        return extract_planes(image, data, height=height).tobytes(), damage.code if damage else None


def assert_same_result(data: bytes) -> None:
    """Check that the first rows have the planes and damage of the whole picture, or the same error."""
    try:
        expected = take_planes(data)
    except ImageError as error:
        with pytest.raises(ImageError, match=error.code):
            take_planes_of_first_rows(data)
    else:
        assert take_planes_of_first_rows(data) == expected
