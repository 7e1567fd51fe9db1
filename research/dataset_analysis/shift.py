"""Measures source shift: how a quick detector does on a source that it has learnt from, and on one that it has not."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from research.alternative_architectures.boosting import find_odds, grow
from research.dataset_analysis.pools import Pool
from research.evaluation.rates import find_limit

ALLOWED: Final = 0.01
FEWEST: Final = 60
"""Fewest covers of a source that is left out."""
_MOST: Final = 300
"""Most covers of a source in training, and in testing, so that large sources do not dominate."""
_RESAMPLES: Final = 2000
LABELS: Final = ("learnt from", "left out")


def leave_sources_out(pools: Sequence[Pool], seed: int, trees: int, fewest: int = FEWEST) -> dict[str, Any]:
    """Return the figures on each source with `fewest` covers of detectors that have and have not learnt from it.

    Half of each source's covers are for training, the others for testing; each pool of the same corpus is halved
    differently. The threshold allows `ALLOWED` false positives on the test halves of the other sources, which both
    detectors have learnt from. The means have intervals from resampling the sources.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    for repeat, pool in enumerate(pools):
        rng = np.random.default_rng([seed, repeat, 6])
        counts = np.bincount(pool.source)
        chosen = [number for number in np.argsort(-counts) if counts[number] >= fewest]
        halves = [_halve(rng, pool, number) for number in range(len(pool.sources))]
        learnt = [half for half, _ in halves]
        whole = _grow(pool, np.concatenate(learnt), seed + repeat, trees)
        for number in chosen:
            others = [half for place, half in enumerate(learnt) if place != number]
            models = (whole, _grow(pool, np.concatenate(others), seed + repeat, trees))
            shown = halves[number][1]
            elsewhere = np.concatenate([half for place, (_, half) in enumerate(halves) if place != number])
            row = rows.setdefault(pool.sources[number], {})
            for label, model in zip(LABELS, models, strict=True):
                for key, value in _measure(model, pool, shown, elsewhere).items():
                    row.setdefault(f"{key}, {label}", []).append(round(value, 5))
    return {"allowed": ALLOWED, "repeats": len(pools), "sources": rows, "mean": _average(rows, seed)}


def _halve(rng: np.random.Generator, pool: Pool, source: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    covers = rng.permutation(np.flatnonzero(pool.source == source))
    middle = (len(covers) + 1) // 2
    return covers[:middle][:_MOST], (covers[middle:] if middle < len(covers) else covers)[:_MOST]


def _grow(pool: Pool, covers: NDArray[np.int64], seed: int, trees: int) -> Any:  # noqa: ANN401 - sklearn's are untyped
    rows = pool.find_rows(covers)
    return grow(pool.features[rows], pool.is_stego[rows], seed, trees)


def _measure(model: Any, pool: Pool, shown: NDArray[np.int64], elsewhere: NDArray[np.int64]) -> dict[str, float]:  # noqa: ANN401
    here, there = pool.find_rows(shown), pool.find_rows(elsewhere)
    limit = find_limit(find_odds(model, pool.features[there[~pool.is_stego[there]]]), ALLOWED)
    over, is_stego = find_odds(model, pool.features[here]) > limit, pool.is_stego[here]
    found = float(over[is_stego].mean()) if is_stego.any() else 0.0
    return {"false positives": float(over[~is_stego].mean()), "found": found}


def _average(rows: dict[str, dict[str, list[float]]], seed: int) -> dict[str, Any]:
    """Return the mean of each figure over the sources, and of its change when a source is left out."""
    if not rows:
        return {}
    rng = np.random.default_rng([seed, 18])
    means: dict[str, Any] = {}
    for key in ("false positives", "found"):
        with_, without = (np.array([np.mean(row[f"{key}, {label}"]) for row in rows.values()]) for label in LABELS)
        for name, values in (
            (f"{key}, {LABELS[0]}", with_),
            (f"{key}, {LABELS[1]}", without),
            (f"{key}, change", without - with_),
        ):
            again = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(axis=1)
            means[name] = {
                "value": round(float(values.mean()), 5),
                "interval95": [round(float(end), 5) for end in np.percentile(again, (2.5, 97.5))],
            }
    return means
