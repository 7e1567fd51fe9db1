"""Drawing canaries from a seed: for each method an image with a hidden message, and the same image without it.

They are easy for V4, drawn shapes and a few lines of text, so that a wrong verdict means that something is broken.
Its accuracy on hard images, such as grainy ones, is measured by `scripts/validate_v4`.
"""

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from starlight_vocabulary.words import METHODS, BitOrder, Method
from worker.v4.embedding import (
    comment_value,
    embed_alpha,
    embed_lsb,
    embed_palette,
    embed_raw,
    exif_with_comment,
)

Rng = np.random.Generator

SIDE: Final = 96
SHAPES: Final = 12
# For lossy formats, where sharp edges would leave grain.
BLUR: Final = 1.0
COLOURS: Final = (64, 128, 256)
PLACES: Final = ("bridge", "mill", "ferry", "station", "old pier", "market", "north gate", "lighthouse")
THINGS: Final = ("the ropes", "both maps", "the red folder", "a lantern", "three keys", "the parcel", "your brother")
MAKERS: Final = {0x010F: "Canary", 0x0110: "Mark 1"}


@dataclass(frozen=True, slots=True)
class Canary:
    """An image file, its name, and the method and message that are hidden in it, both None if it is clean."""

    name: str
    data: bytes
    hidden: Method | None = None
    message: str | None = None


def draw_canaries(seed: int) -> list[Canary]:
    """Return the images of a round, each stego image before its clean twin; the same seed gives the same images."""
    rng = np.random.default_rng(seed)
    return [canary for method in METHODS for canary in draw_pair(rng, method)]


def draw_pair(rng: Rng, method: Method) -> tuple[Canary, Canary]:
    """Return an image with a message hidden by this method, and the same image without it."""
    message = draw_message(rng)
    stego, clean, suffix = DRAWERS[method](rng, message.encode())
    return (
        Canary(f"{method}.{suffix}", stego, method, message),
        Canary(f"{method}-clean.{suffix}", clean),
    )


def draw_message(rng: Rng) -> str:
    """Return a few random sentences."""
    lines = [
        f"Meet me at the {PLACES[rng.integers(len(PLACES))]} at {rng.integers(24)}:{rng.integers(60):02}, "
        f"and bring {THINGS[rng.integers(len(THINGS))]}."
        for _ in range(rng.integers(4, 7))
    ]
    return " ".join(lines)


def draw_picture(rng: Rng) -> Image.Image:
    """Return an RGB picture of coloured shapes."""
    picture = Image.new("RGB", (SIDE, SIDE), draw_colour(rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(SHAPES):
        (left, right), (top, bottom) = np.sort(rng.integers(0, SIDE, (2, 2))).tolist()
        (pen.ellipse, pen.rectangle)[rng.integers(2)]((left, top, right, bottom), fill=draw_colour(rng))
    return picture


def draw_soft_picture(rng: Rng) -> Image.Image:
    """Return a picture as `draw_picture` does, with soft edges."""
    return draw_picture(rng).filter(ImageFilter.GaussianBlur(BLUR))


def draw_colour(rng: Rng) -> tuple[int, int, int]:
    """Return a random RGB colour."""
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - options of the encoder
    """Return the image as a file in this format of Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def draw_alpha(rng: Rng, text: bytes) -> tuple[bytes, bytes, str]:
    """Hide the text in the alpha channel of a PNG, which is opaque or has shapes."""
    cover = draw_picture(rng)
    if rng.random() < 0.5:
        cover.putalpha(255)
    else:
        cover.putalpha(draw_picture(rng).convert("L"))
    return encode(embed_alpha(cover, text), "PNG"), encode(cover, "PNG"), "png"


def draw_palette(rng: Rng, text: bytes) -> tuple[bytes, bytes, str]:
    """Hide the text in the palette indices of a GIF or PNG."""
    colours = int(rng.choice(COLOURS))
    cover = draw_picture(rng).quantize(colours)
    # Flipping the lowest bit of an index must give another index of the palette.
    table = cover.getpalette("RGB") or []
    cover.putpalette(table + [0] * (3 * colours - len(table)), "RGB")
    stego = embed_palette(cover, text, draw_bit_order(rng))
    kind, options = (("GIF", {"optimize": False}), ("PNG", {}))[rng.integers(2)]
    return encode(stego, kind, **options), encode(cover, kind, **options), kind.lower()


def draw_lsb(rng: Rng, text: bytes) -> tuple[bytes, bytes, str]:
    """Hide the text in the colour samples of a PNG or BMP."""
    cover = draw_picture(rng)
    stego = embed_lsb(cover, text, draw_bit_order(rng))
    kind = ("PNG", "BMP")[rng.integers(2)]
    return encode(stego, kind), encode(cover, kind), kind.lower()


def draw_exif(rng: Rng, text: bytes) -> tuple[bytes, bytes, str]:
    """Hide the text in the UserComment of a JPEG."""
    cover, quality = draw_soft_picture(rng), int(rng.integers(60, 96))
    exif = exif_with_comment(comment_value(text, None), dict(MAKERS))
    harmless = Image.Exif()
    harmless.update(MAKERS)
    stego = encode(cover, "JPEG", quality=quality, exif=exif.tobytes())
    return stego, encode(cover, "JPEG", quality=quality, exif=harmless.tobytes()), "jpg"


def draw_raw(rng: Rng, text: bytes) -> tuple[bytes, bytes, str]:
    """Hide the text after the end of a JPEG, PNG or WebP."""
    kind = ("JPEG", "PNG", "WEBP")[rng.integers(3)]
    clean = encode(draw_soft_picture(rng), kind)
    return embed_raw(clean, text), clean, {"JPEG": "jpg"}.get(kind, kind.lower())


def draw_bit_order(rng: Rng) -> BitOrder:
    """Return a random bit order."""
    return (BitOrder.LSB_FIRST, BitOrder.MSB_FIRST)[rng.integers(2)]


DRAWERS: Final = {
    Method.ALPHA: draw_alpha,
    Method.PALETTE: draw_palette,
    Method.LSB_RGB: draw_lsb,
    Method.EXIF: draw_exif,
    Method.RAW: draw_raw,
}
