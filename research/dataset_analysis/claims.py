"""How many clean images a claim about false positives needs, and what a corpus supports."""

from typing import Any, Final

from research.evaluation.intervals import clopper_pearson

CLAIM: Final = 0.0007
"""The share of false positives that is claimed at most: 0.07 %."""
_MOST_HITS: Final = 6


def count_needed(hits: int, claim: float = CLAIM) -> int:
    """Return how many clean images it takes for the 95 % interval of `hits` taken for stego to end at a claim."""
    low, high = hits, 1
    while clopper_pearson(hits, max(high, hits + 1))[1] > claim:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clopper_pearson(hits, middle)[1] <= claim else (middle, high)
    return high


def describe_claim(parts: dict[str, tuple[int, int]], sources: dict[str, int]) -> dict[str, Any]:
    """Return what the claim needs, and what untouched images of each part support.

    `parts` has the hits and images of each part, `sources` how many sources it is from: images of one source are no
    independent trials, so that is said of the sources too, were none of them bad.
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
