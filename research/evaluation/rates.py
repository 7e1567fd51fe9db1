"""Shares of trials, with their confidence intervals."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from research.evaluation.intervals import clopper_pearson
from research.evaluation.trials import Trial

Trials: TypeAlias = Sequence[Trial]


def is_stego(trial: Trial) -> bool:
    """Return whether V4 classified the trial's image as stego."""
    return trial.score.is_stego


def rate(trials: Trials, counts: Callable[[Trial], bool]) -> dict[str, Any]:
    """Return the number of trials for which `counts` is true, their share and its interval."""
    return make_rate(sum(counts(trial) for trial in trials), len(trials))


def make_rate(count: int, of: int) -> dict[str, Any]:
    """Return a count, its share and the share's interval."""
    low, high = clopper_pearson(count, of)
    return {
        "count": count,
        "of": of,
        "share": round(count / of if of else 0.0, 6),
        "interval95": [round(low, 6), round(high, 6)],
    }


def find_limit(clean: NDArray[np.float64], allowed: float) -> float:
    """Return the score that at most a share `allowed` of the clean images exceeds."""
    ranked = np.sort(clean)[::-1]
    return float(ranked[min(int(allowed * len(ranked)), len(ranked) - 1)])
