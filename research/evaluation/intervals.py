"""Exact confidence intervals of a proportion (Clopper and Pearson 1934), and the expected calibration error."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the proportion `hits` / `trials`; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _root(lambda share: 1.0 - binomial_cdf(hits - 1, trials, share) - tail)
    high = 1.0 if hits == trials else _root(lambda share: tail - binomial_cdf(hits, trials, share))
    return low, high


def binomial_cdf(hits: int, trials: int, share: float) -> float:
    """Return the binomial probability of at most `hits` in `trials`, each of probability `share`, 0 < share < 1."""
    smaller = min(hits, trials - hits - 1)
    if smaller < 0:
        return 1.0
    terms = range(hits + 1) if smaller == hits else range(hits + 1, trials + 1)
    constant = math.lgamma(trials + 1)
    total = math.fsum(
        math.exp(
            constant
            - math.lgamma(count + 1)
            - math.lgamma(trials - count + 1)
            + count * math.log(share)
            + (trials - count) * math.log1p(-share)
        )
        for count in terms
    )
    return min(1.0, total) if smaller == hits else max(0.0, 1.0 - total)


def _root(rising: Callable[[float], float]) -> float:
    """Find the root of an increasing function on (0, 1) by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if rising(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def calibration(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_], bins: int = 15
) -> tuple[float, list[dict[str, float]]]:
    """Return the expected calibration error over bins of equal width, and the bins of the reliability diagram.

    Each non-empty bin has its `count`, mean `probability` and `share` of true outcomes (Naeini et al. 2015).
    """
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    diagram = []
    error = 0.0
    for which in np.unique(number):
        inside = number == which
        mean, share = float(probabilities[inside].mean()), float(outcomes[inside].mean())
        error += float(inside.mean()) * abs(mean - share)
        diagram.append({"count": int(inside.sum()), "probability": round(mean, 4), "share": round(share, 4)})
    return error, diagram
