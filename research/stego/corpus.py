"""A corpus: a folder of clean images, grouped by source."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

Rng = np.random.Generator

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"})
LARGEST: Final = 50_000_000
"""Maximum number of pixels of an image."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Paths of clean images by source."""

    sources: dict[str, tuple[Path, ...]]

    @property
    def paths(self) -> list[Path]:
        """List all images, in the order of sources and names."""
        return [path for name in self.sources for path in self.sources[name]]

    def draw(self, rng: Rng) -> Path:
        """Draw an image; sources are weighted by the square root of their size, so that large ones do not dominate."""
        weights = np.sqrt([len(paths) for paths in self.sources.values()])
        paths = list(self.sources.values())[rng.choice(len(weights), p=weights / weights.sum())]
        return paths[rng.integers(len(paths))]


def find_images(folder: Path) -> Corpus:
    """List the images in `folder/manifest.csv` (column `path`) if it exists, else the files with `SUFFIXES`.

    The first folder below `folder` is the image's source. Raises `ValueError` if there are no images.
    """
    manifest = folder / "manifest.csv"
    if manifest.exists():
        with manifest.open(newline="", encoding="utf-8") as lines:
            names = [row["path"] for row in csv.DictReader(lines)]
    else:
        names = [
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        ]
    sources: dict[str, list[Path]] = defaultdict(list)
    for name in sorted(names):
        sources[name.split("/", 1)[0] if "/" in name else ""].append(folder / name)
    if not sources:
        raise ValueError(f"no images below {folder}")
    return Corpus({name: tuple(paths) for name, paths in sources.items()})


def open_image(data: bytes) -> Image.Image:
    """Open and load the first frame in its native mode. Raises `OSError` or `ValueError` if it can't be read."""
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    if image.width * image.height > LARGEST:
        raise ValueError(f"{image.width}x{image.height} pixels are too many")
    try:
        image.load()
    except (SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error
    return image
