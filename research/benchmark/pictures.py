"""Draws the pictures to scan: 256 by 256 pixels, in five formats."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from research.stego.drawn import draw_picture

SIDE = 256
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
LARGE_SIDE = 7000


def draw_images(folder: Path, count: int) -> list[str]:
    """Draw distinct images and return their references."""
    rng = np.random.default_rng(1)
    uris = []
    for number in range(count):
        kind = FORMATS[number % len(FORMATS)]
        image = draw_picture(rng, size=(SIDE, SIDE))
        path = folder / f"{number}.{kind.lower()}"
        (image.quantize(64) if kind == "GIF" else image.convert("RGB")).save(path, kind)
        uris.append(path.as_uri())
    return uris


def find_file(uri: str) -> Path:
    """Return the path of a `file://` reference."""
    return Path(unquote(urlsplit(uri).path))


def draw_large_images(folder: Path, count: int) -> list[str]:
    """Draw one picture of 49 megapixels in several formats; return `count` references to them."""
    picture = Image.radial_gradient("L").resize((LARGE_SIDE, LARGE_SIDE)).convert("RGB")
    paths = [folder / f"large.{kind}" for kind in ("jpeg", "png", "webp")]
    for path in paths:
        picture.save(path)
    return [paths[number % len(paths)].as_uri() for number in range(count)]


def repeated(uris: list[str], share: float) -> list[str]:
    """Return as many references in random order, `share` of which are repetitions."""
    rng = np.random.default_rng(2)
    distinct = uris[: round(len(uris) * (1 - share))]
    repeats = [distinct[number] for number in rng.integers(0, len(distinct), len(uris) - len(distinct))]
    return [str(uri) for uri in rng.permutation(np.array(distinct + repeats, dtype=object))]
