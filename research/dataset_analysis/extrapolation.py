"""Fits a learning curve, extrapolates it, and estimates the uncertainty by resampling test sources and trainings.

The curve is an inverse power law with a floor, floor + scale * size ** -exponent, as is usual for learning curves
(Cortes et al. 1993; Figueroa et al. 2012).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Measure = Callable[[int, int, NDArray[np.int64]], float]
"""Returns a share: of the training at a position in the sizes, with a number, on the drawn test sources."""

RESAMPLES: Final = 300
"""Resamples behind an interval."""
_EXPONENTS: Final = np.linspace(0.02, 2.5, 63)
_LEAST: Final = 1e-4
"""Lowest value that a relative error refers to: one of 0 would be infinitely important."""
_POINTS: Final = 24
_SATURATED: Final = 0.5
"""Sizes with a greater mean value are left out of fits: a share approaches 1 in another way than a power law."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve: floor + scale * size ** -exponent."""

    floor: float
    scale: float
    exponent: float

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return self.floor + self.scale * float(size**-self.exponent)


def fit(sizes: Values, values: Values) -> Curve:
    """Fit a curve to values (K,) at sizes (K,) by least squares of relative errors; floor and scale are 0 or more."""
    weights = 1.0 / np.maximum(values, _LEAST)
    goal = values * weights
    best, least = Curve(0.0, 0.0, 1.0), np.inf
    for exponent in _EXPONENTS:
        columns = np.stack([weights, weights * sizes**-exponent], axis=1)
        for used in ([0], [1], [0, 1]):
            found = np.zeros(2)
            found[used] = np.linalg.lstsq(columns[:, used], goal, rcond=None)[0]
            error = float(np.square(columns @ found - goal).sum())
            if found.min() >= 0 and error < least:
                best, least = Curve(float(found[0]), float(found[1]), float(exponent)), error
    return best


def extrapolate(
    sizes: Sequence[int],
    measure: Measure,
    repeats: int,
    sources: int,
    target: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Return the fitted curve, its values at the last size and at `target`, and their ratio, with 95 % intervals.

    There are `repeats` trainings at each size. `sources` test sources are resampled with replacement, and so are the
    trainings at each size.
    """
    rng = np.random.default_rng([seed, 17])
    means = [
        np.mean([measure(place, number, np.arange(sources)) for number in range(repeats)])
        for place in range(len(sizes))
    ]
    used = [place for place, mean in enumerate(means) if mean <= _SATURATED] or list(range(len(sizes)))
    at = np.repeat(np.array(sizes, float)[used], repeats)
    every = np.tile(np.arange(repeats), (len(used), 1))

    def fit_to(drawn: NDArray[np.int64], trainings: NDArray[np.int64]) -> Curve:
        values = [
            measure(place, number, drawn) for place, row in zip(used, trainings.tolist(), strict=True) for number in row
        ]
        return fit(at, np.array(values))

    curve = fit_to(np.arange(sources), every)
    others = [
        fit_to(rng.integers(sources, size=sources), rng.integers(repeats, size=every.shape)) for _ in range(resamples)
    ]

    def describe(find: Callable[[Curve], float]) -> dict[str, Any]:
        low, high = np.percentile([find(each) for each in others], (2.5, 97.5))
        return {"value": round(find(curve), 5), "interval95": [round(float(low), 5), round(float(high), 5)]}

    last = float(sizes[-1])
    drawn_at = np.geomspace(sizes[used[0]], target, _POINTS)
    bands = [describe(lambda each, size=float(size): each.at(size)) for size in drawn_at]  # type: ignore[misc]
    return {
        "first_size": sizes[used[0]],
        "last_size": sizes[-1],
        "target_size": target,
        "floor": describe(lambda each: each.floor),
        "exponent": describe(lambda each: each.exponent),
        "last": describe(lambda each: each.at(last)),
        "target": describe(lambda each: each.at(target)),
        "ratio": describe(lambda each: each.at(target) / max(each.at(last), _LEAST)),
        "band": [{"size": round(float(size), 1), **band} for size, band in zip(drawn_at, bands, strict=True)],
    }
