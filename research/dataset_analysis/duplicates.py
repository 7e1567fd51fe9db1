"""Finds pictures that look alike, within a part of a corpus and across parts, by perceptual hashes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from research.dataset_analysis.surveying import Surveyed

NEAREST: Final = 8
"""Maximum number of the 256 hash bits in which near duplicates differ."""
LEAST_DETAIL: Final = 40
"""Minimum `detail` of pictures to compare: the hashes of plain pictures are all alike."""
_COLOUR: Final = 12.0
_RATIO: Final = 1.1
_BLOCK: Final = 1024


def find_near_duplicates(rows: Sequence[Surveyed]) -> dict[str, Any]:
    """Return the number of images with a near duplicate in the same part and across parts, and the sources across."""
    chosen = [row for row in rows if row.detail >= LEAST_DETAIL]
    within: dict[str, set[int]] = {part: set() for part in sorted({row.part for row in rows})}
    across: set[tuple[int, int]] = set()
    for first, second in _pairs(chosen):
        if chosen[first].part == chosen[second].part:
            within[chosen[first].part] |= {first, second}
        else:
            across.add((first, second))
    shared = Counter(
        " and ".join(sorted(f"{chosen[each].part}/{chosen[each].source}" for each in pair)) for pair in across
    )
    return {
        "nearest": NEAREST,
        "compared": {part: sum(row.part == part for row in chosen) for part in within},
        "too_plain": {part: sum(row.part == part and row.detail < LEAST_DETAIL for row in rows) for part in within},
        "within": {part: len(found) for part, found in within.items()},
        "across": {
            part: len({each for pair in across for each in pair if chosen[each].part == part}) for part in within
        },
        "pairs_across_by_sources": dict(shared.most_common(12)),
    }


def _pairs(rows: Sequence[Surveyed]) -> Iterator[tuple[int, int]]:
    """Yield the indexes of two images that look alike, each pair once."""
    if not rows:
        return
    hashes = np.stack([row.hashed for row in rows])
    colours = np.stack([row.colour for row in rows])
    ratios = np.array([row.width / row.height for row in rows])
    for start in range(0, len(rows), _BLOCK):
        block = hashes[start : start + _BLOCK]
        distance = np.zeros((len(block), len(rows)), np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(block[:, word, None] ^ hashes[None, :, word])
        for first, second in zip(*np.nonzero(distance <= NEAREST), strict=True):
            one, other = start + int(first), int(second)
            alike = np.abs(colours[one] - colours[other]).max() <= _COLOUR
            if one < other and alike and 1 / _RATIO <= ratios[one] / ratios[other] <= _RATIO:
                yield one, other
