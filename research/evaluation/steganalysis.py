"""Published estimators of the share of least significant bits that a payload has replaced.

Each takes one channel (H, W) of uint8 and estimates the share of its samples that carry a payload: 0 for a cover, 1 for
a full channel. Covers scatter around 0, so estimates may be negative; for degenerate pictures they may be NaN.
"""

import math

import numpy as np
from numpy.typing import NDArray

Channel = NDArray[np.uint8]


def sample_pairs(channel: Channel) -> float:
    """Sample pair analysis (Dumitrescu, Wu and Wang 2003), on horizontal and vertical neighbours."""
    samples = channel.astype(np.int16)
    first = np.concatenate([samples[:, :-1].ravel(), samples[:-1].ravel()])
    second = np.concatenate([samples[:, 1:].ravel(), samples[1:].ravel()])
    even = second % 2 == 0
    x = int(np.sum((even & (first < second)) | (~even & (first > second))))
    y = int(np.sum((even & (first > second)) | (~even & (first < second))))
    same_pair = int(np.sum(first // 2 == second // 2))
    return _smaller_root(same_pair / 2, 2 * x - first.size, y - x)


def regular_singular(channel: Channel) -> float:
    """RS analysis (Fridrich, Goljan and Du 2001), on groups of four neighbours in a row and the mask 0 1 1 0."""
    width = channel.shape[1] // 4 * 4
    groups = channel[:, :width].reshape(-1, 4).astype(np.int16)
    d0, negative_d0 = _balance(groups, 1), _balance(groups, -1)
    d1, negative_d1 = _balance(groups ^ 1, 1), _balance(groups ^ 1, -1)
    root = _smaller_root(2 * (d1 + d0), negative_d0 - negative_d1 - d1 - 3 * d0, d0 - negative_d0)
    return root / (root - 0.5) if root != 0.5 else math.nan


def weighted_stego(channel: Channel) -> float:
    """Weighted stego with the 3x3 predictor and weights of Ker and Böhme (2008), without the bias term."""
    if min(channel.shape) < 3:
        return math.nan
    samples = channel.astype(np.float64)
    sides = samples[1:-1, :-2] + samples[1:-1, 2:] + samples[:-2, 1:-1] + samples[2:, 1:-1]
    corners = samples[:-2, :-2] + samples[:-2, 2:] + samples[2:, :-2] + samples[2:, 2:]
    predicted = sides / 2 - corners / 4
    inner = samples[1:-1, 1:-1]
    neighbours = np.stack([samples[1:-1, :-2], samples[1:-1, 2:], samples[:-2, 1:-1], samples[2:, 1:-1]])
    weight = 1.0 / (5.0 + neighbours.var(axis=0))
    towards_even = np.where(channel[1:-1, 1:-1] % 2 == 0, -1.0, 1.0)
    return float(2 * np.sum(weight * towards_even * (inner - predicted)) / np.sum(weight))


def chi_square(channel: Channel) -> float:
    """Chi-square attack (Westfeld and Pfitzmann 1999): returns -log(1 + statistic per degree of freedom).

    Replaced bits make the values 2k and 2k + 1 equally frequent: then the result is close to 0, else far below it.
    """
    counts = np.bincount(channel.reshape(-1), minlength=256).reshape(-1, 2).astype(np.float64)
    counts = counts[counts.sum(1) > 4]
    if len(counts) < 2:
        return math.nan
    expected = counts.mean(1)
    statistic = float(np.sum((counts[:, 0] - expected) ** 2 / expected) / (len(counts) - 1))
    return -math.log1p(statistic)


def _balance(groups: NDArray[np.int16], direction: int) -> float:
    """Return the share of regular groups minus that of singular groups when the mask's samples are flipped.

    `direction` 1 swaps 2k and 2k + 1, -1 swaps 2k - 1 and 2k.
    """
    flipped = groups.copy()
    middle = flipped[:, 1:3]
    flipped[:, 1:3] = middle ^ 1 if direction == 1 else ((middle + 1) ^ 1) - 1
    change = np.abs(np.diff(flipped, axis=1)).sum(1) - np.abs(np.diff(groups, axis=1)).sum(1)
    return float(np.mean(change > 0) - np.mean(change < 0))


def _smaller_root(a: float, b: float, c: float) -> float:
    """Return the root of ax² + bx + c nearer to zero, or the extremum if noise leaves no real root."""
    if a == 0:
        return -c / b if b else math.nan
    discriminant = b * b - 4 * a * c
    spread = math.sqrt(max(0.0, discriminant))
    return min(((-b + sign * spread) / (2 * a) for sign in (1, -1)), key=abs)
