"""Measures the benefit of more covers and of more sources, by retraining a quick detector on parts of a corpus.

The detector's figures are not V4's, which learns from far more examples of each cover; their change with the covers is
what counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from research.alternative_architectures.boosting import find_odds, grow
from research.dataset_analysis.extrapolation import RESAMPLES, Measure, extrapolate
from research.dataset_analysis.pools import Pool
from research.evaluation.rates import find_limit

Odds = NDArray[np.float64]
Truth = NDArray[np.bool_]

SHARES: Final = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the covers to train on."""
SOURCES: Final = (2, 4, 8, 16)
"""Numbers of sources to train on."""
ALLOWED: Final = 0.01
"""Share of false positives at which misses are compared."""
WANTED: Final = 0.95
"""Share of stego images found at which false positives are compared."""
TENFOLD: Final = 10
_HIDDEN: Final = 2
"""Number of the largest sizes that are predicted from the others, to check the extrapolation."""
_RESERVED: Final = 0.1
"""Share of the covers that only choose thresholds."""
_COVERS: Final = 480
"""Number of covers from each number of sources."""


@dataclass(frozen=True, slots=True)
class Training:
    """One trained detector: its log-odds on the test examples, and its figures."""

    odds: Odds
    figures: Mapping[str, float]


def find_missed(odds: Odds, is_stego: Truth) -> float:
    """Return the share of stego images that are missed at `ALLOWED` false positives."""
    return float((odds[is_stego] <= find_limit(odds[~is_stego], ALLOWED)).mean())


def find_false_positives(odds: Odds, is_stego: Truth) -> float:
    """Return the share of clean images flagged at the highest threshold that finds `WANTED` of the stego images."""
    ranked = np.sort(odds[is_stego])[::-1]
    limit = ranked[max(0, int(np.ceil(WANTED * len(ranked))) - 1)]
    return float((odds[~is_stego] >= limit).mean())


MEASURES: Final = {"missed": find_missed, "false_positives": find_false_positives}


def draw_curves(
    pools: Sequence[Pool],
    shown: Pool,
    seed: int,
    trees: int,
    shares: Sequence[float] = SHARES,
    numbers: Sequence[int] = SOURCES,
    covers: int = _COVERS,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Return learning curves: by the share of covers, and by the number of sources that give `covers` covers together.

    `shares` and `numbers` increase, and there are at least four shares. There is a training for each of `pools`, which
    have the same covers with other payloads; it also draws covers, sources and trees anew. `shown` has the test
    examples.
    """
    by_covers: list[list[Training]] = [[] for _ in shares]
    by_sources: list[list[Training]] = [[] for _ in numbers]
    sizes: list[int] = []
    for repeat, pool in enumerate(pools):
        rng = np.random.default_rng([seed, repeat, 5])
        order = rng.permutation(len(pool.source))
        held, free = np.split(order, [max(1, round(_RESERVED * len(order)))])
        sizes = [max(1, round(share * len(free))) for share in shares]
        for trainings, size in zip(by_covers, sizes, strict=True):
            trainings.append(_train(pool, free[:size], held, shown, seed + repeat, trees))
        for trainings, number in zip(by_sources, numbers, strict=True):
            chosen = take_from_sources(rng, pool.source, free, number, covers)
            trainings.append(_train(pool, chosen, held, shown, seed + repeat, trees))
    return {
        "allowed": ALLOWED,
        "wanted": WANTED,
        "repeats": len(pools),
        "trees": trees,
        "test": {
            "clean": int((~shown.is_stego).sum()),
            "stego": int(shown.is_stego.sum()),
            "sources": len(shown.sources),
        },
        "covers": [{"covers": size, **_list_figures(each)} for size, each in zip(sizes, by_covers, strict=True)],
        "sources": [
            {"sources": number, **_list_figures(each)} for number, each in zip(numbers, by_sources, strict=True)
        ],
        "covers_from_sources": covers,
        "tenfold": _extrapolate(sizes, by_covers, shown, TENFOLD * sizes[-1], seed, resamples),
        "checked": _extrapolate(sizes[:-_HIDDEN], by_covers[:-_HIDDEN], shown, sizes[-1], seed, resamples),
        "doubled_sources": _extrapolate(numbers, by_sources, shown, 2 * numbers[-1], seed, resamples),
    }


def take_from_sources(
    rng: np.random.Generator, source: NDArray[np.int64], free: NDArray[np.int64], number: int, covers: int
) -> NDArray[np.int64]:
    """Draw `number` sources, and `covers` free covers evenly from them; sources with too few are not drawn.

    `source` (C,) is the number of each cover's source, `free` (K,) are the covers to draw from.
    """
    each = max(1, covers // number)
    counts = np.bincount(source[free])
    enough = np.flatnonzero(counts >= each)
    drawn = rng.permutation(enough if len(enough) >= number else np.argsort(-counts)[:number])[:number]
    return np.concatenate([free[source[free] == name][:each] for name in drawn])


def _train(
    pool: Pool, covers: NDArray[np.int64], held: NDArray[np.int64], shown: Pool, seed: int, trees: int
) -> Training:
    rows, reserved = pool.find_rows(covers), pool.find_rows(held)
    model = grow(pool.features[rows], pool.is_stego[rows], seed, trees)
    odds, known = find_odds(model, shown.features), find_odds(model, pool.features[reserved])
    carried = find_limit(known[~pool.is_stego[reserved]], ALLOWED)
    figures = {name: find(odds, shown.is_stego) for name, find in MEASURES.items()}
    figures |= {f"known_{name}": find(known, pool.is_stego[reserved]) for name, find in MEASURES.items()}
    figures["carried_false_positives"] = float((odds[~shown.is_stego] > carried).mean())
    figures["carried_missed"] = float((odds[shown.is_stego] <= carried).mean())
    return Training(odds, figures)


def _list_figures(trainings: Sequence[Training]) -> dict[str, list[float]]:
    return {key: [round(each.figures[key], 5) for each in trainings] for key in trainings[0].figures}


def _extrapolate(
    sizes: Sequence[int],
    trainings: Sequence[Sequence[Training]],
    shown: Pool,
    target: float,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    source, is_stego = shown.source[shown.cover], shown.is_stego
    rows_of = [np.flatnonzero(source == number) for number in range(len(shown.sources))]

    def on_drawn(find: Any) -> Measure:  # noqa: ANN401 - one of MEASURES
        def measure(place: int, number: int, drawn: NDArray[np.int64]) -> float:
            rows = np.concatenate([rows_of[each] for each in drawn])
            share: float = find(trainings[place][number].odds[rows], is_stego[rows])
            return share

        return measure

    return {
        name: extrapolate(sizes, on_drawn(find), len(trainings[0]), len(rows_of), target, seed, resamples)
        for name, find in MEASURES.items()
    }
