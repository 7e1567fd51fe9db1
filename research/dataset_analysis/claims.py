"""Computes how many clean images a claimed false-positive rate needs, and which rate a corpus supports."""

from typing import Any, Final

from research.evaluation.intervals import clopper_pearson

CLAIM: Final = 0.0007
"""The claimed upper bound of the false-positive rate: 0.07 %."""
_MOST_HITS: Final = 6


def count_needed(hits: int, claim: float = CLAIM) -> int:
    """Return the number of clean images for which the 95 % interval of `hits` false positives ends at `claim`."""
    low, high = hits, 1
    while clopper_pearson(hits, max(high, hits + 1))[1] > claim:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clopper_pearson(hits, middle)[1] <= claim else (middle, high)
    return high


def describe_claim(parts: dict[str, tuple[int, int]], sources: dict[str, int]) -> dict[str, Any]:
    """Return what the claim needs, and what the untouched images of each part support.

    `parts` has the false positives and images of each part, `sources` its number of sources. Images of one source are
    not independent, so the result also has the largest share of bad sources that is possible if none was seen.
    """
    return {
        "claim": CLAIM,
        "needed": {str(hits): count_needed(hits) for hits in range(_MOST_HITS)},
        "supports": {
            part: {
                "false_positives": hits,
                "images": images,
                "interval95": [round(end, 6) for end in clopper_pearson(hits, images)],
                "sources": sources[part],
                "bad_sources_at_most": round(clopper_pearson(0, sources[part])[1], 4),
            }
            for part, (hits, images) in parts.items()
        },
    }
