"""Shares of trials, with their intervals."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from research.evaluation.intervals import clopper_pearson
from research.evaluation.trials import Trial

Trials: TypeAlias = Sequence[Trial]


def is_stego(trial: Trial) -> bool:
    """Tell whether the trial's image was taken for stego."""
    return trial.score.is_stego


def rate(trials: Trials, counts: Callable[[Trial], bool]) -> dict[str, Any]:
    """Return how many of the trials count, their share and its interval."""
    hits = sum(counts(trial) for trial in trials)
    low, high = clopper_pearson(hits, len(trials))
    share = hits / len(trials) if trials else 0.0
    return {
        "count": hits,
        "of": len(trials),
        "share": round(share, 6),
        "interval95": [round(low, 6), round(high, 6)],
    }
