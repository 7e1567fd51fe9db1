"""Image encoders: a stego image and its twin use the same one, so that the encoder reveals nothing."""

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageFile

Rng = np.random.Generator

# A progressive JPEG must fit into the buffer of Pillow's encoder, by default of 64 KiB or one byte per pixel.
ImageFile.MAXBLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Encoder:
    """A Pillow format with its options."""

    format: str
    options: tuple[tuple[str, Any], ...] = ()

    def encode(self, image: Image.Image, exif: Image.Exif | None = None) -> bytes:
        """Encode the image, with an EXIF block if one is given."""
        options: dict[str, Any] = dict(self.options)
        if exif is not None:
            # Bytes, not an object: Pillow's PNG writer drops an object without main tags, its TIFF writer the others.
            options["exif"] = exif.tobytes()
        if self.format == "GIF" and image.mode == "P" and "transparency" in image.info:
            # With transparency, Pillow keeps the palette as RGBA and would write it to the GIF unchanged.
            image = image.copy()
            del image.info["transparency"]
            image.putpalette(image.getpalette("RGB") or [0, 0, 0], "RGB")
        buffer = io.BytesIO()
        image.save(buffer, self.format, **options)
        return buffer.getvalue()


EXIF_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF")
"""Formats whose EXIF block V4 reads."""


def draw_lossless(rng: Rng, mode: str) -> Encoder:
    """Draw a lossless encoder for an image of this mode."""
    roll = rng.random()
    if mode == "P":
        if roll < 0.35:
            return Encoder("GIF", (("optimize", False), ("interlace", int(rng.integers(2)))))
        return Encoder("BMP") if roll < 0.45 else _png(rng)
    if roll < 0.15 and mode in ("RGB", "RGBA"):
        # Without `exact`, the encoder clears the colours of transparent pixels.
        return Encoder(
            "WEBP", (("lossless", True), ("quality", int(rng.integers(0, 40))), ("method", 0), ("exact", True))
        )
    if roll < 0.28 and mode == "RGB":
        return Encoder("BMP")
    if roll < 0.31 and mode == "RGB":
        # Uncompressed, since libtiff, used for compression, omits the EXIF directory.
        return Encoder("TIFF")
    return _png(rng)


def draw_any(rng: Rng, mode: str, formats: tuple[str, ...] = ()) -> Encoder:
    """Draw a lossy or lossless encoder for an image of this mode, limited to `formats` if given."""
    for _ in range(64):
        roll = rng.random()
        if mode in ("RGB", "L") and roll < 0.5:
            encoder = _jpeg(rng)
        elif mode in ("RGB", "RGBA") and roll < 0.65:
            quality = int(rng.integers(30, 100))
            encoder = Encoder("WEBP", (("quality", quality), ("method", 0)))
        else:
            encoder = draw_lossless(rng, mode)
        if not formats or encoder.format in formats:
            return encoder
    return _png(rng)


def _png(rng: Rng) -> Encoder:
    return Encoder("PNG", (("compress_level", int(rng.integers(0, 4))),))


def _jpeg(rng: Rng) -> Encoder:
    quality = int(rng.integers(35, 100))
    subsampling = int(rng.integers(0, 3))
    # Of higher quality, noise takes several bytes per pixel.
    progressive = quality < 85 and bool(rng.random() < 0.4)
    return Encoder("JPEG", (("quality", quality), ("subsampling", subsampling), ("progressive", progressive)))
