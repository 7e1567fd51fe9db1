"""Pictures for people: an image scaled down and encoded again, without any other bytes of its file."""

import io
from typing import Final

from PIL import Image

THUMBNAIL_SIDE: Final = 112
PICTURE_SIDE: Final = 1024
QUALITY: Final = 85


def encode_picture(picture: Image.Image, side: int, max_bytes: int) -> bytes:
    """Return the first frame as WebP of at most `side` pixels a side and `max_bytes` bytes, without metadata.

    The sides of a picture that does not fit are halved until it does.
    """
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    # Scaled down before the conversion if that loses nothing, so that a large picture is not copied whole.
    if picture.mode in ("L", "RGB", "RGBA"):
        picture.thumbnail((side, side))
    shown = picture.convert(mode)
    shown.thumbnail((side, side))
    while True:
        encoded = io.BytesIO()
        Image.frombytes(mode, shown.size, shown.tobytes()).save(encoded, "WEBP", quality=QUALITY, method=2)
        if encoded.tell() <= max_bytes:
            return encoded.getvalue()
        shown.thumbnail((max(1, shown.width // 2), max(1, shown.height // 2)))
