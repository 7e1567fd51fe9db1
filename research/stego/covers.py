"""Makes covers: pictures in the mode that a method needs, from a corpus or drawn."""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from research.stego.corpus import Corpus, open_image
from research.stego.drawn import draw_picture

Rng = np.random.Generator

CACHED_SIDE: Final = 160
"""Side in pixels of the piece of a large picture that is cached."""
_CACHED_IMAGES: Final = 4000


class CoverSource:
    """Draws covers; caches pieces of pictures, so that each picture is decoded once."""

    def __init__(self, corpus: Corpus | None, drawn_share: float = 0.25) -> None:
        self._corpus = corpus
        self._drawn_share = drawn_share if corpus else 1.0
        self._cache: dict[Path, Image.Image | None] = {}

    def draw(self, rng: Rng, method: str) -> Image.Image:
        """Draw a cover in a mode that `method` can use: RGBA or LA, P, RGB or RGBA, or any common mode."""
        return adapt(rng, self._piece(rng), method)

    def _piece(self, rng: Rng) -> Image.Image:
        """Draw a picture or a piece of it, at its own resolution or resized."""
        image = None
        if self._corpus is not None and rng.random() >= self._drawn_share:
            image = self._read(self._corpus.draw(rng), rng)
        if image is None:
            image = draw_picture(rng)
        roll = rng.random()
        if roll < 0.35 and min(image.size) > 24:
            width, height = (int(rng.integers(16, side + 1)) for side in image.size)
            left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
            image = image.crop((left, top, left + width, top + height))
        elif roll < 0.5:
            factor = 2.0 ** rng.uniform(-1.5, 0.7)
            size = (max(8, int(image.width * factor)), max(8, int(image.height * factor)))
            smooth = image.mode not in ("P", "PA", "1") and rng.random() < 0.8
            image = image.resize(size, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)
        return image

    def _read(self, path: Path, rng: Rng) -> Image.Image | None:
        if path not in self._cache:
            if len(self._cache) >= _CACHED_IMAGES:
                self._cache.pop(next(iter(self._cache)))
            try:
                self._cache[path] = upper_left(open_image(path.read_bytes()), CACHED_SIDE)
            except (OSError, ValueError):
                self._cache[path] = None
        return self._cache[path]


def adapt(rng: Rng, image: Image.Image, method: str) -> Image.Image:
    """Convert a picture to a mode that `method` can use."""
    if method == "alpha":
        return _with_alpha(rng, image)
    if method == "palette":
        return _with_palette(rng, image)
    if method == "lsb.rgb":
        keep_alpha = image.mode in ("RGBA", "LA", "PA") or rng.random() < 0.1
        return image.convert("RGBA" if keep_alpha else "RGB")
    if image.mode in ("RGB", "RGBA", "L", "P"):
        return image
    return image.convert("RGB")


def upper_left(image: Image.Image, side: int) -> Image.Image:
    """Crop the upper left corner, at most `side` pixels each way, and drop the metadata of the file."""
    piece = image.crop((0, 0, min(image.width, side), min(image.height, side)))
    if piece.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        piece = piece.convert("RGB")
    transparency = image.info.get("transparency")
    piece.info = {"transparency": transparency} if transparency is not None and piece.mode == "P" else {}
    return piece


def _with_alpha(rng: Rng, image: Image.Image) -> Image.Image:
    """Convert to RGBA, sometimes LA, with the picture's own alpha channel, a constant one or a drawn one."""
    if image.mode == "LA":
        return image if rng.random() < 0.5 else image.convert("RGBA")
    own = image.mode in ("RGBA", "PA") or "transparency" in image.info
    image = image.convert("RGBA")
    if own and rng.random() < 0.8:
        return image
    roll = rng.random()
    if roll < 0.55:
        image.putalpha(int(rng.choice([255, 255, 255, 254, 128, 0, int(rng.integers(256))])))
    else:
        image.putalpha(draw_picture(rng, size=image.size).convert("L"))
    return image


def _with_palette(rng: Rng, image: Image.Image) -> Image.Image:
    """Convert to P or keep the picture's own indices; the palette gets an even number of colours for embedding."""
    if image.mode != "P" or rng.random() < 0.4:
        colours = int(2 ** rng.integers(1, 9)) if rng.random() < 0.6 else int(rng.integers(2, 257))
        method = (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE, Image.Quantize.FASTOCTREE)[rng.integers(3)]
        dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
        image = image.convert("RGB")
        image.info = {}
        if rng.random() < 0.25:
            image = image.convert("P", dither=dither, palette=Image.Palette.WEB)
        elif rng.random() < 0.4:
            palette = image.quantize(colours, method)
            image = image.quantize(palette=palette, dither=dither)
        else:
            image = image.quantize(colours, method)
    table = (image.getpalette("RGB") or [0, 0, 0])[:768]
    entries = len(table) // 3
    target = 256 if rng.random() < 0.4 else entries + entries % 2
    image = image.copy()
    image.putpalette(table + table[:3] * (target - entries), "RGB")
    return image
