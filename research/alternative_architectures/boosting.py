"""Gradient-boosted trees on statistics of bytes, of pairs of samples and of the picture.

V4 uses the same statistics of bytes, signatures and pairs, so the difference shows what its network adds. The published
estimators (sample pairs, RS, weighted stego, chi-square) are additional features.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from research.alternative_architectures.examples import Examples, Score
from research.evaluation.steganalysis import chi_square, regular_singular, sample_pairs, weighted_stego
from worker.v4.planes import PlaneArray
from worker.v4.streams import compute, stack

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Features = NDArray[np.float32]

ESTIMATORS: Final[tuple[Callable[[NDArray[np.uint8]], float], ...]] = (
    sample_pairs, regular_singular, weighted_stego, chi_square,
)  # fmt: skip
_BATCH: Final = 64
_SMALLEST: Final = 8
_UNKNOWN: Final = -9.0
"""Feature value of an unknown estimate, below all real ones."""


def train(examples: Examples, seed: int, trees: int) -> Score:
    """Train `trees` trees; return the detector, whose scores are log-odds."""
    model = grow(describe(examples), ~examples.is_clean, seed, trees)

    def score(shown: Examples) -> NDArray[np.float64]:
        return find_odds(model, describe(shown))

    return score


def grow(features: Features, is_stego: NDArray[np.bool_], seed: int, trees: int) -> "HistGradientBoostingClassifier":
    """Train the trees on (N, F) features."""
    # Here: it takes longer to load than all else that this is imported with.
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=trees, learning_rate=0.15, max_leaf_nodes=24, max_features=0.1, l2_regularization=1.0,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    return model.fit(features, is_stego)


def find_odds(model: "HistGradientBoostingClassifier", features: Features) -> NDArray[np.float64]:
    """Return the log-odds (N,) of stego."""
    odds: NDArray[np.float64] = model.decision_function(features)
    return odds


def describe(examples: Examples) -> Features:
    """Return all features (N, F): those of the streams, and the estimates for each channel of the picture."""
    estimates = [estimate(picture) for picture in examples.pictures]
    known = np.nan_to_num(np.array(estimates, np.float32), nan=_UNKNOWN)
    return np.concatenate([describe_streams(examples.planes), known], axis=1)


def describe_streams(planes: PlaneArray) -> Features:
    """Return the statistics (N, F) of byte sequences, pairs and format in V4's streams."""
    parts = []
    for start in range(0, len(planes), _BATCH):
        streams = compute(stack(planes[start : start + _BATCH]))
        count = len(streams.format)
        parts.append(
            np.concatenate(
                [each.reshape(count, -1).numpy() for each in (streams.content, streams.pairs, streams.format)], axis=1
            )
        )
    return np.concatenate(parts).astype(np.float32)


def estimate(picture: NDArray[np.uint8]) -> list[float]:
    """Return all estimates of each channel of a picture (4, H, W); NaN if it is too small or the channel is empty."""
    if min(picture.shape[1:]) < _SMALLEST:
        return [np.nan] * (len(ESTIMATORS) * len(picture))
    with np.errstate(all="ignore"):
        return [
            each(np.ascontiguousarray(channel)) if channel.any() else np.nan
            for channel in picture
            for each in ESTIMATORS
        ]
