"""Statistics of neighbouring samples of a carrier, after sample pair analysis (Dumitrescu, Wu and Wang 2003).

Replacing least significant bits moves values within the pairs (2k, 2k+1) and never across them. So the share of
differences within pairs, beside that across them, shows how much was replaced.
"""

from typing import Final

import torch
from torch import Tensor

from worker.v4.byte_statistics import histogram
from worker.v4.planes import SAMPLES

WINDOWS: Final = ((0, 256), (256, 1024), (1024, 4096), (4096, SAMPLES))
"""Ranges of carrier samples over which statistics are taken."""

PAIR_FEATURES: Final = 14 * (len(WINDOWS) + 1)
"""Statistics of one carrier: 14 for each window and for the centre crop."""


def pair_statistics(arrays: dict[str, Tensor], count: dict[str, Tensor]) -> Tensor:
    """Return pair statistics (B, 3, PAIR_FEATURES) of the alpha, index and RGB carriers and of the centre crop."""
    crop = arrays["pixel"].flatten(1)
    reference = _pair_shares(crop, 3, None, (0, crop.shape[1]))
    features = torch.zeros(crop.shape[0], 3, PAIR_FEATURES, device=crop.device)
    for carrier, (name, lag) in enumerate((("alpha", 1), ("index", 1), ("rgb", 3))):
        rows = count[f"{name}_count"].nonzero()[:, 0]
        if rows.shape[0] == 0:
            continue
        samples = arrays[name][rows]
        valid = count[f"{name}_count"][rows]
        windows = [_pair_shares(samples, lag, valid, window) for window in WINDOWS]
        features[rows, carrier] = torch.cat([*windows, reference[rows]], dim=1)
    return features


def _pair_shares(samples: Tensor, lag: int, count: Tensor | None, window: tuple[int, int]) -> Tensor:
    """Return the joint shares (N, 14) of a sample's least significant bit and the difference to its neighbour.

    Differences are cut to -3 to 3. `samples` is (N, K) uint8, of which the first `count` are real; a sample's
    neighbour is `lag` further on.
    """
    start, stop = window
    first = samples[:, start : stop - lag].to(torch.int16)
    second = samples[:, start + lag : stop].to(torch.int16)
    code = (second - first).clamp_(-3, 3).add_(3).add_(first & 1, alpha=7)
    if count is not None and bool((count < stop).any()):
        position = torch.arange(start + lag, stop, device=samples.device)
        code.masked_fill_(position >= count[:, None], 14)
    counts = histogram(code, 15)[:, :14]
    return counts / counts.sum(1, keepdim=True).clamp(min=1.0)
