"""Surveys the images of a corpus: format, statistics of the lowest bits, perceptual hash and V4's score."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.dataset_analysis.labels import list_readable
from research.evaluation.traits import hard_traits, measure_noise
from research.evaluation.writers import NOISE, NOISE_NAMES
from research.stego.corpus import Corpus, open_image
from worker.v4.detector import Detector, Score
from worker.v4.extraction import read_payload
from worker.v4.planes import extract_planes, read_number

_HASH_SIDE: Final = 16
_CARRIERS: Final = {"lsb.rgb": "rgb", "alpha": "alpha", "palette": "index"}
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One image.

    `entropy` (bits per byte) and the share `ones` are those of its carrier's lowest bits; `holds` describes the payload
    if V4 classifies it as stego, and `readable` what can be read in it, whatever V4 says. `hashed` (4,) uint64 has a
    bit for each of 16x16 pixels of the reduced grey picture: whether the pixel to its right is brighter; `detail`
    counts the pixels that differ from the one to their right. `colour` (3,) is the mean.
    """

    part: str
    source: str
    path: Path
    format: str
    mode: str
    width: int
    height: int
    size: int
    traits: tuple[str, ...]
    noise: float | None
    entropy: float | None
    ones: float | None
    hashed: NDArray[np.uint64]
    detail: int
    colour: NDArray[np.float32]
    score: Score
    holds: str
    readable: tuple[str, ...]


def survey_corpus(detector: Detector, corpus: Corpus, part: str) -> Iterator[Surveyed]:
    """Yield a row for each image of the corpus that can be opened, in the corpus' order."""
    chosen = [(source, path) for source, paths in corpus.sources.items() for path in paths]
    for start in range(0, len(chosen), _BATCH):
        opened = []
        for source, path in chosen[start : start + _BATCH]:
            data = path.read_bytes()
            try:
                image = open_image(data)
            except (OSError, ValueError):
                continue
            opened.append((source, path, image, data, extract_planes(image, data)))
        for (source, path, image, data, planes), score in zip(
            opened, detector.score([each[-1] for each in opened]), strict=True
        ):
            yield _survey_image(part, source, path, image, data, planes, score)


def describe_sources(rows: Sequence[Surveyed]) -> dict[str, Any]:
    """Return for each source the number of images, and their formats, modes, sizes, traits, noise and lowest bits."""
    described = {}
    for part, source in sorted({(row.part, row.source) for row in rows}):
        chosen = [row for row in rows if (row.part, row.source) == (part, source)]
        sides = sorted(max(row.width, row.height) for row in chosen)
        described[f"{part}/{source}"] = {
            "images": len(chosen),
            "formats": _count(row.format for row in chosen),
            "modes": _count(row.mode for row in chosen),
            "median_side": sides[len(sides) // 2],
            "median_bytes": sorted(row.size for row in chosen)[len(chosen) // 2],
            "at_most_64_wide": round(sum(row.width <= 64 for row in chosen) / len(chosen), 4),
            "traits": _count(trait for row in chosen for trait in row.traits),
            "noise": _count(_band(row.noise) for row in chosen if row.noise is not None),
            "lsb_entropy": _mean([row.entropy for row in chosen if row.entropy is not None]),
            "lsb_ones": _mean([row.ones for row in chosen if row.ones is not None]),
        }
    return described


def list_suspects(rows: Sequence[Surveyed], threshold: float) -> list[dict[str, Any]]:
    """List the images that V4 classifies as stego, with a description of the payload."""
    found = sorted((row for row in rows if row.score.stego_probability >= threshold), key=lambda r: (r.part, r.source))
    return [
        {
            "part": row.part,
            "source": row.source,
            "image": row.path.name,
            "method": row.score.method,
            "probability": round(row.score.stego_probability, 5),
            "holds": row.holds,
        }
        for row in found
    ]


def list_readable_images(rows: Sequence[Surveyed]) -> list[dict[str, Any]]:
    """List the images in which something can be read, other than a UserComment, which cameras and editors write."""
    return [
        {
            "part": row.part,
            "source": row.source,
            "image": row.path.name,
            "readable": [what for what in row.readable if not what.startswith("exif")],
            "v4": round(row.score.stego_probability, 5),
        }
        for row in rows
        if any(not what.startswith("exif") for what in row.readable)
    ]


def _survey_image(
    part: str, source: str, path: Path, image: Image.Image, data: bytes, planes: np.void, score: Score
) -> Surveyed:
    method = next((m for m in _CARRIERS if read_number(planes, f"{_CARRIERS[m]}_count")), None)
    entropy = ones = noise = None
    if method is not None:
        bits = planes[_CARRIERS[method]][: read_number(planes, f"{_CARRIERS[method]}_count")] & 1
        noise, ones = measure_noise(planes, method), float(bits.mean())
        counts = np.bincount(np.packbits(bits[: bits.size // 8 * 8]), minlength=256)
        shares = counts[counts > 0] / max(1, counts.sum())
        entropy = float(-(shares * np.log2(shares)).sum())
    hashed, detail = hash_picture(image)
    small = np.asarray(image.convert("RGB").resize((1, 1), Image.Resampling.BOX), np.float32).reshape(3)
    holds = _read(image, data, score) if score.is_stego else ""
    traits = hard_traits(image, data)
    return Surveyed(
        part, source, path, image.format or "", image.mode, image.width, image.height, len(data), traits, noise,
        entropy, ones, hashed, detail, small, score, holds, list_readable(image, data),
    )  # fmt: skip


def hash_picture(image: Image.Image) -> tuple[NDArray[np.uint64], int]:
    """Return a difference hash of 256 bits, and the number of pixels that differ from their right neighbour."""
    grey = image.convert("RGBA") if "A" in image.getbands() or "transparency" in image.info else image
    if grey.mode == "RGBA":
        # Invisible colours of transparent pixels must not count.
        grey = Image.alpha_composite(Image.new("RGBA", grey.size, (128, 128, 128, 255)), grey)
    small = grey.convert("L").resize((_HASH_SIDE + 1, _HASH_SIDE), Image.Resampling.BOX)
    steps = np.diff(np.asarray(small, np.int16), axis=1)
    return np.packbits(steps > 1).view(np.uint64), int((np.abs(steps) > 1).sum())


def _read(image: Image.Image, data: bytes, score: Score) -> str:
    """Return kind and size of the payload, not its content, which others wrote."""
    if score.method is None:
        return ""
    payload = read_payload(image, data, score.method, score.bit_order).payload
    return f"{payload.kind}, {payload.size:,} bytes" if payload.size else str(payload.kind)


def _band(noise: float) -> str:
    return NOISE_NAMES[int(np.digitize(noise, NOISE[1:-1]))]


def _count(values: Iterator[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
