"""Makes clean files: drawn pictures, and pictures with harmless metadata or harmless bytes after the end."""

import numpy as np
from PIL import Image

from research.stego.drawn import PICTURE_NAMES, draw_picture
from research.stego.encoders import EXIF_FORMATS, Encoder, draw_any
from research.stego.metadata import draw_exif
from research.stego.samples import Sample
from research.stego.trailers import DECLARED_KINDS, append_harmless, append_kind

Rng = np.random.Generator


def draw_negative(rng: Rng) -> Sample:
    """Draw a clean file: a drawn picture in a random mode and format, often with harmless metadata."""
    kind = PICTURE_NAMES[rng.integers(len(PICTURE_NAMES))]
    image = draw_picture(rng, kind)
    roll = rng.random()
    if roll < 0.4:
        colours = int(2 ** rng.integers(1, 9))
        dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
        image = image.quantize(palette=image.quantize(colours), dither=dither)
    elif roll < 0.6:
        image = image.convert(("RGBA", "L", "1", "LA")[rng.integers(4)])
        if image.mode == "RGBA" and rng.random() < 0.6:
            image.putalpha(draw_picture(rng, size=image.size).convert("L"))
    data = encode_harmless(rng, draw_any(rng, image.mode), image, share=0.25)
    return Sample(data, f"drawn {kind}")


def make_harmless(rng: Rng, cover: Image.Image, kind: str) -> Sample:
    """Encode the cover and append harmless bytes of one of `HARMLESS_KINDS`."""
    encoder = draw_any(rng, cover.mode, ("JPEG", "PNG", "GIF", "WEBP", "BMP"))
    if kind in DECLARED_KINDS:
        encoder, cover = draw_any(rng, "RGB", ("JPEG",)), cover.convert("RGB")
    return Sample(append_kind(rng, encoder.encode(cover), kind), "harmless", writer=kind)


def encode_harmless(rng: Rng, encoder: Encoder, image: Image.Image, share: float) -> bytes:
    """Encode an image; add harmless EXIF and harmless trailing bytes, each with probability `share`."""
    exif = None
    # Pillow rotates a TIFF by its orientation tag, which changes the first pixel.
    if encoder.format in EXIF_FORMATS and encoder.format != "TIFF" and rng.random() < share:
        exif = draw_exif(rng, with_comment=bool(rng.random() < 0.7))
    data = encoder.encode(image, exif)
    if encoder.format != "TIFF" and rng.random() < share:
        data = append_harmless(rng, data)
    return data
