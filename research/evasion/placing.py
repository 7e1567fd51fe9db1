"""Where and how an adversary changes samples: other orders, other bits, other kinds of change."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Rng = np.random.Generator
Samples = NDArray[np.uint8]
"""(height, width, 3)."""
Positions = NDArray[np.int64]
"""Indexes of samples in a flattened picture, in the order in which bits are written."""

_HIGH_PASS: Final = torch.tensor([[-1.0, 2.0, -1.0], [2.0, -4.0, 2.0], [-1.0, 2.0, -1.0]])


def write_bits(
    rng: Rng, samples: Samples, positions: Positions, bits: NDArray[np.uint8], plane: int = 0, *, matching: bool = False
) -> Samples:
    """Return the samples with bit `plane` replaced at each position.

    With `matching`, a sample whose lowest bit is wrong is raised or lowered by one instead (LSB matching).
    """
    changed = samples.copy()
    flat = changed.reshape(-1)
    chosen = positions[: bits.size]
    if not matching:
        flat[chosen] = flat[chosen] & (0xFF ^ 1 << plane) | bits << plane
        return changed
    values = flat[chosen].astype(np.int16)
    step = np.where(rng.random(bits.size) < 0.5, 1, -1)
    step = np.where(values == 0, 1, np.where(values == 255, -1, step))
    flat[chosen] = np.where(values & 1 == bits, values, values + step).astype(np.uint8)
    return changed


def in_order(samples: Samples) -> Positions:
    """List all positions in V4's order: R, G, B of each pixel, row by row."""
    return np.arange(samples.size, dtype=np.int64)


def reversed_colours(samples: Samples) -> Positions:
    """List the positions in the order B, G, R of each pixel."""
    return in_order(samples).reshape(-1, 3)[:, ::-1].reshape(-1)


def by_columns(samples: Samples) -> Positions:
    """List the positions column by column."""
    return in_order(samples).reshape(samples.shape).transpose(1, 0, 2).reshape(-1)


def by_colour(samples: Samples) -> Positions:
    """List the positions of R, then those of G, then those of B."""
    return in_order(samples).reshape(-1, 3).transpose().reshape(-1)


def red_only(samples: Samples) -> Positions:
    """List the positions of R."""
    return in_order(samples)[::3]


def backwards(samples: Samples) -> Positions:
    """List the positions from the last one to the first."""
    return in_order(samples)[::-1]


def by_key(rng: Rng, samples: Samples) -> Positions:
    """List all positions in a random order, as by a key."""
    return rng.permutation(samples.size).astype(np.int64)


def busiest_first(samples: Samples) -> Positions:
    """List the positions by cost, computed without the lowest bit so that a reader finds the same order."""
    return np.argsort(find_costs((samples & 0xFE).astype(np.uint8)).reshape(-1), kind="stable").astype(np.int64)


def find_costs(samples: Samples) -> NDArray[np.float64]:
    """Return the HILL cost of changing each sample (Li, Wang, Huang and Li 2014): high in smooth areas."""
    channels = torch.from_numpy(samples.astype(np.float64)).permute(2, 0, 1)[:, None]
    residual = functional.conv2d(_pad(channels, 1), _HIGH_PASS.double()[None, None]).abs()
    smooth = functional.avg_pool2d(_pad(residual, 1), 3, stride=1)
    spread = functional.avg_pool2d(_pad(1.0 / (smooth + 1e-3), 7), 15, stride=1)
    costs: NDArray[np.float64] = spread[:, 0].permute(1, 2, 0).numpy()
    return costs


def change_adaptively(rng: Rng, samples: Samples, share: float) -> Samples:
    """Return the samples as if ciphertext of `share` bits per sample were embedded at minimum cost.

    Changes by one are drawn with the probabilities of an ideal code (Filler and Fridrich 2010); there is no payload to
    read back.
    """
    costs = find_costs(samples).reshape(-1)
    low, high = 0.0, 1e6
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _entropy(_change_probability(costs, middle)).mean() > share else (low, middle)
    probability = _change_probability(costs, high)
    roll = rng.random(costs.size)
    step = (roll < probability).astype(np.int16) - (roll > 1.0 - probability)
    flat = samples.reshape(-1).astype(np.int16)
    moved = flat + step
    return np.where((moved < 0) | (moved > 255), flat - step, moved).astype(np.uint8).reshape(samples.shape)


def _change_probability(costs: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
    """Return the probability of a change by +1, which equals that of -1."""
    weight = np.exp(-np.minimum(slope * costs, 700.0))
    changed: NDArray[np.float64] = weight / (1.0 + 2.0 * weight)
    return changed


def _entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bits per sample that changes by +1, -1 or 0 carry."""
    stays = 1.0 - 2.0 * probability
    changed = np.where(probability > 0, probability * np.log2(np.maximum(probability, 1e-300)), 0.0)
    bits: NDArray[np.float64] = -2.0 * changed - stays * np.log2(stays)
    return bits


def _pad(values: Tensor, by: int) -> Tensor:
    """Pad by repeating the border, which also works for pictures smaller than `by`."""
    return functional.pad(values, (by, by, by, by), mode="replicate")
