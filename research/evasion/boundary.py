"""Maps V4's detection in `lsb.rgb` by the bytes of the payload, the side of the picture and the noise of the cover."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np
from PIL import Image

from research.evaluation.rates import make_rate
from research.evaluation.traits import measure_noise
from research.evaluation.writers import NOISE, NOISE_NAMES
from research.evasion.files import encode_png
from research.evasion.placing import Samples, in_order, write_bits
from research.stego.corpus import Corpus, open_image
from research.stego.payloads import draw_text
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes

Rng = np.random.Generator

SIDES: Final = (16, 32, 64, 128, 256)
"""Sides in pixels of the square covers."""
SIZES: Final = (4, 8, 16, 32, 64, 200, 700, 2000)
"""Bytes of payload."""
KINDS: Final = ("text", "ciphertext")
FOUND: Final = 0.9
"""Share from which on payloads of a size count as found."""
_BATCH: Final = 64
_PATIENCE: Final = 20
"""Pictures that are drawn for each cover at most: a corpus may have none that is large enough."""

Grid = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""Rates by kind of payload, noise, side and bytes."""


def map_boundary(detector: Detector, corpus: Corpus, seed: int, covers: int) -> dict[str, Any]:
    """Return the detection rates on `covers` covers of each side, and the false positives on the covers themselves.

    Covers are pieces of pictures that are at least as large; sides for which the corpus has none are left out. Text
    ends in a zero; ciphertext has nothing before it.
    """
    counts: dict[tuple[str, str, int, int], list[bool]] = {}
    flagged: dict[int, list[bool]] = {}
    for side in SIDES:
        rng = np.random.default_rng([seed, 12, side])
        pieces = list(islice(_cut_pieces(rng, corpus, side, _PATIENCE * covers), covers))
        if not pieces:
            continue
        files = [encode_png(Image.fromarray(piece)) for piece in pieces]
        planes = [extract_planes(Image.fromarray(piece), data) for piece, data in zip(pieces, files, strict=True)]
        bands = [NOISE_NAMES[int(np.digitize(measure_noise(each, "lsb.rgb"), NOISE[1:-1]))] for each in planes]
        flagged[side] = _find_flagged(detector, planes)
        for kind in KINDS:
            for size in (size for size in SIZES if 8 * (size + 1) <= 3 * side * side):
                stego = [
                    extract_planes(Image.fromarray(_hide(rng, piece, kind, size)), data)
                    for piece, data in zip(pieces, files, strict=True)
                ]
                for band, is_found in zip(bands, _find_flagged(detector, stego), strict=True):
                    counts.setdefault((kind, band, side, size), []).append(is_found)
    found: Grid = {}
    for (kind, band, side, size), hits in counts.items():
        cells = found.setdefault(kind, {}).setdefault(band, {}).setdefault(str(side), {})
        cells[str(size)] = make_rate(sum(hits), len(hits))
    return {
        "covers": covers,
        "false_positives": {str(side): make_rate(sum(hits), len(hits)) for side, hits in flagged.items()},
        "found": found,
        "least": {kind: _find_least(bands) for kind, bands in found.items()},
    }


def _find_least(bands: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> dict[str, dict[str, int | None]]:
    """Return by noise and side the fewest bytes from which on all sizes are found in `FOUND` of the covers, or None."""
    least: dict[str, dict[str, int | None]] = {}
    for band, sides in bands.items():
        for side, cells in sides.items():
            enough = None
            for size, cell in reversed(list(cells.items())):
                if cell["share"] < FOUND:
                    break
                enough = int(size)
            least.setdefault(band, {})[side] = enough
    return least


def _cut_pieces(rng: Rng, corpus: Corpus, side: int, most: int) -> Iterator[Samples]:
    """Yield pieces of `most` drawn pictures, of those that are large enough."""
    for _ in range(most):
        try:
            image = open_image(corpus.draw(rng).read_bytes())
        except (OSError, ValueError):
            continue
        if min(image.size) >= side:
            left, top = int(rng.integers(image.width - side + 1)), int(rng.integers(image.height - side + 1))
            yield np.asarray(image.crop((left, top, left + side, top + side)).convert("RGB"))


def _hide(rng: Rng, piece: Samples, kind: str, size: int) -> Samples:
    payload = draw_text(rng, size) + b"\x00" if kind == "text" else rng.bytes(size)
    return write_bits(rng, piece, in_order(piece), np.unpackbits(np.frombuffer(payload, np.uint8)))


def _find_flagged(detector: Detector, planes: list[np.void]) -> list[bool]:
    return [
        score.is_stego
        for start in range(0, len(planes), _BATCH)
        for score in detector.score(planes[start : start + _BATCH])
    ]
