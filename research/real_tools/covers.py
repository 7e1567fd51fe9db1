"""Draws the covers and the messages that tools are given."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from research.stego.corpus import Corpus, open_image
from research.stego.covers import upper_left
from research.stego.drawn import draw_picture
from research.stego.payloads import draw_text

Rng = np.random.Generator

SMALLEST: Final = 96
LARGEST: Final = 256
"""Sides in pixels of the smallest cover, and of the piece that larger pictures are cropped to."""
LENGTHS: Final = {"short": (12, 40), "long": (300, 800), "other script": (60, 200)}
"""Kinds of messages, and their sizes in bytes. Those in another script are English if a tool has only ASCII."""


@dataclass(frozen=True, slots=True)
class CoverKind:
    """A format and mode of covers, as a suffix of file names and an encoder."""

    suffix: str
    encode: Callable[[Image.Image], bytes]


def draw_pictures(rng: Rng, corpus: Corpus | None, count: int) -> list[Image.Image]:
    """Draw RGB pictures with sides of `SMALLEST` to `LARGEST`, every other one from the corpus if there is one."""
    pictures: list[Image.Image] = []
    while len(pictures) < count:
        if corpus is None or len(pictures) % 2 == 0:
            width, height = (int(side) for side in rng.integers(SMALLEST, LARGEST + 1, 2))
            pictures.append(draw_picture(rng, size=(width, height)))
            continue
        try:
            picture = upper_left(open_image(corpus.draw(rng).read_bytes()), LARGEST).convert("RGB")
        except (OSError, ValueError):
            continue
        if min(picture.size) >= SMALLEST:
            picture.info = {}
            pictures.append(picture)
    return pictures


def draw_message(rng: Rng, kind: str, *, ascii_only: bool, longest: int) -> str:
    """Draw a message of one of `LENGTHS`, of at most `longest` bytes."""
    smallest, largest = LENGTHS[kind]
    size = int(rng.integers(min(smallest, longest // 2), min(largest, longest) + 1))
    while True:
        text = draw_text(rng, size, "any script" if kind == "other script" and not ascii_only else "prose").decode()
        message = " ".join(text.split())
        if len(message) >= size // 4 and (message.isascii() if kind != "other script" or ascii_only else True):
            return message


def _save(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    # Opaque except for a corner, like most pictures with transparency.
    image.paste((0, 0, 0, 0), (0, image.height - 8, 8, image.height))
    return image


def _encode_animation(image: Image.Image) -> bytes:
    """Encode two frames, of which the second one is turned."""
    first = image.quantize(64)
    options = {"duration": 100, "interlace": False}
    return _save(first, "GIF", save_all=True, append_images=[first.transpose(Image.Transpose.ROTATE_180)], **options)


# GIFs are not interlaced: tools write to the rows in the order of the file, which would not be that of the picture.
COVER_KINDS: Final = {
    "png RGB": CoverKind(".png", lambda image: _save(image, "PNG")),
    "png RGBA": CoverKind(".png", lambda image: _save(_with_alpha(image), "PNG")),
    "bmp RGB": CoverKind(".bmp", lambda image: _save(image, "BMP")),
    "jpeg": CoverKind(".jpg", lambda image: _save(image, "JPEG", quality=85)),
    "gif": CoverKind(".gif", lambda image: _save(image.quantize(64), "GIF", interlace=False)),
    "gif, two frames": CoverKind(".gif", _encode_animation),
    "webp": CoverKind(".webp", lambda image: _save(image, "WEBP", lossless=True)),
}
"""Kinds of covers by name."""
