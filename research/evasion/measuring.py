"""Measures V4's detection of each way to hide, and its false positives on the same covers."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.evaluation.rates import find_limit, make_rate
from research.evasion.attribution import average_windows, measure_streams, restore_windows
from research.evasion.files import DAMAGES, ELSEWHERE, FileWay, encode_png, hide_text, make_harmless_exif
from research.evasion.ways import CHANGED, PLACED, TAILS, WRITTEN, PixelWay, TailWay
from research.stego.corpus import Corpus, open_image
from research.stego.covers import adapt, upper_left
from research.stego.planes import take_planes
from research.stego.trailers import DECLARED_KINDS, HARMLESS_KINDS, append_kind
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes

Rng = np.random.Generator
Scores: TypeAlias = NDArray[np.float64]

ALLOWED: Final = 0.01
"""Share of clean images that may exceed the second threshold."""
SMALLEST: Final = 64
SIDE: Final = 256
"""Sides in pixels of the smallest cover, and of the piece that larger ones are cropped to."""
_BATCH: Final = 64
EXPLAINED: Final = (
    "text of 200 bytes, as the specification has it",
    "ciphertext of 200 bytes behind a length",
    "ciphertext of 200 bytes, bare",
)
_EXAMPLES: Final = 60


@dataclass(frozen=True, slots=True)
class Cover:
    """An RGB picture, and a PNG file of it."""

    image: Image.Image
    data: bytes

    def show(self, image: Image.Image | None = None, data: bytes | None = None) -> np.void:
        """Return the planes of the cover, with its picture or its file replaced if given."""
        return extract_planes(image or self.image, self.data if data is None else data)


def draw_covers(corpus: Corpus, seed: int, count: int) -> list[Cover]:
    """Draw covers of the corpus with sides of `SMALLEST` to `SIDE` pixels."""
    return list(islice(_covers(corpus, seed), count))


def measure_ways(detector: Detector, covers: Sequence[Cover], seed: int) -> dict[str, Any]:
    """Return for each group of ways the false positives on clean images, and the detection rate of each way."""
    kinds = [kind for kind in HARMLESS_KINDS if kind not in DECLARED_KINDS]
    rng = np.random.default_rng([seed, 1])
    plain = [cover.show() for cover in covers]
    harmless = [
        cover.show(data=append_kind(rng, cover.data, kinds[number % len(kinds)])) for number, cover in enumerate(covers)
    ]
    with_exif = [cover.show(data=make_harmless_exif(rng, cover.image)) for cover in covers]
    groups: dict[str, tuple[Sequence[np.void], Sequence[PixelWay | TailWay | FileWay]]] = {
        "what is written": (plain, WRITTEN),
        "where it is written": (plain, PLACED),
        "how samples are changed": (plain, CHANGED),
        "what is appended": (harmless, TAILS),
        "elsewhere in the file": (with_exif, ELSEWHERE),
    }
    return {name: _measure_group(detector, clean, ways, covers, seed) for name, (clean, ways) in groups.items()}


def measure_damages(detector: Detector, covers: Sequence[Cover], seed: int) -> dict[str, Any]:
    """Return for each damage how many stego files a worker still decodes and V4 detects, and the false positives."""
    rng = np.random.default_rng([seed, 2])
    stego = [hide_text(rng, cover.image) for cover in covers]
    rows = {}
    for damage in DAMAGES:
        shown = list(_decode([damage.damage(data) for data in stego]))
        clean = list(_decode([damage.damage(cover.data) for cover in covers]))
        rows[damage.name] = {
            "decoded": make_rate(len(shown), len(covers)),
            "found": make_rate(_count_found(detector, shown), len(covers)),
            "false_positives": make_rate(_count_found(detector, clean), len(covers)),
        }
    return rows


def explain(detector: Detector, covers: Sequence[Cover], seed: int) -> dict[str, Any]:
    """Return the evidence for detected stego images: streams, and places in the bit stream."""
    explained: dict[str, Any] = {}
    for way in (way for way in WRITTEN if way.name in EXPLAINED):
        rng = np.random.default_rng([seed, 3])
        pairs = [(_hide(way, rng, cover), cover.show()) for cover in covers[:_EXAMPLES]]
        scores = find_probabilities(detector, [stego for stego, _ in pairs])
        found = [pair for pair, score in zip(pairs, scores, strict=True) if score >= detector.model.threshold]
        if found:
            explained[way.name] = {
                "examples": len(found),
                "logit_without": measure_streams(detector, [stego for stego, _ in found]),
                "windows": average_windows([restore_windows(detector, *pair) for pair in found]),
            }
    return explained


def find_probabilities(detector: Detector, planes: Sequence[np.void]) -> Scores:
    """Return the stego probabilities of images."""
    scores: list[float] = []
    for start in range(0, len(planes), _BATCH):
        scores += [score.stego_probability for score in detector.score(planes[start : start + _BATCH])]
    return np.array(scores)


def _measure_group(
    detector: Detector,
    clean: Sequence[np.void],
    ways: Sequence[PixelWay | TailWay | FileWay],
    covers: Sequence[Cover],
    seed: int,
) -> dict[str, Any]:
    clean_scores = find_probabilities(detector, clean)
    limit = find_limit(clean_scores, ALLOWED)
    rows = {}
    for number, way in enumerate(ways):
        rng = np.random.default_rng([seed, 4, number])
        scores = find_probabilities(detector, [_hide(way, rng, cover) for cover in covers])
        rows[way.name] = {
            "known": way.known,
            "found": make_rate(int((scores >= detector.model.threshold).sum()), len(scores)),
            "found_at_allowed": make_rate(int((scores > limit).sum()), len(scores)),
        }
    flagged = int((clean_scores >= detector.model.threshold).sum())
    return {"false_positives": make_rate(flagged, len(clean_scores)), "limit": round(limit, 6), "ways": rows}


def _hide(way: PixelWay | TailWay | FileWay, rng: Rng, cover: Cover) -> np.void:
    if isinstance(way, PixelWay):
        return cover.show(image=Image.fromarray(way.hide(rng, np.asarray(cover.image))))
    return cover.show(data=cover.data + way.make(rng) if isinstance(way, TailWay) else way.make(rng, cover.image))


def _count_found(detector: Detector, planes: Sequence[np.void]) -> int:
    return int((find_probabilities(detector, planes) >= detector.model.threshold).sum())


def _decode(files: Sequence[bytes]) -> Iterator[np.void]:
    for data in files:
        with suppress(OSError):
            yield take_planes(data, is_cut=True)


def _covers(corpus: Corpus, seed: int) -> Iterator[Cover]:
    rng = np.random.default_rng([seed, 0])
    while True:
        try:
            image = adapt(rng, upper_left(open_image(corpus.draw(rng).read_bytes()), SIDE), "lsb.rgb").convert("RGB")
        except (OSError, ValueError):
            continue
        if min(image.size) >= SMALLEST:
            yield Cover(image, encode_png(image))
