"""The published estimators measure the share of a smooth, noisy picture that has hidden bits."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from research.evaluation.steganalysis import regular_singular, sample_pairs, weighted_stego


def picture(full: float) -> NDArray[np.uint8]:
    """Return a wavy picture with noise, whose first rows have random lowest bits."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:256, :256]
    waves = 128 + 50 * np.sin(x / 23) * np.cos(y / 31) + rng.normal(0, 2, (256, 256))
    samples: NDArray[np.uint8] = waves.round().clip(0, 255).astype(np.uint8)
    rows = int(256 * full)
    samples[:rows] = samples[:rows] & 0xFE | rng.integers(0, 2, (rows, 256), dtype=np.uint8)
    return samples


@pytest.mark.parametrize("estimate", [sample_pairs, regular_singular, weighted_stego])
@pytest.mark.parametrize("full", [0.0, 0.25, 0.5, 0.9])
def test_the_share_that_carries_bits_is_estimated(estimate: Callable[[NDArray[np.uint8]], float], full: float) -> None:
    assert estimate(picture(full)) == pytest.approx(full, abs=0.08)


@pytest.mark.parametrize("estimate", [sample_pairs, regular_singular, weighted_stego])
def test_flat_and_tiny_pictures_raise_nothing(estimate: Callable[[NDArray[np.uint8]], float]) -> None:
    estimate(np.full((64, 64), 7, np.uint8))
    estimate(np.full((2, 8), 7, np.uint8))
