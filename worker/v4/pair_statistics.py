"""Statistics of neighbouring samples of a carrier, after sample pair analysis (Dumitrescu, Wu and Wang 2003).

Replacing least significant bits moves values within the pairs (2k, 2k+1) and never across them. So the shares of
differences within pairs and across pairs show how much was replaced.
"""

from functools import cache
from typing import Final

import torch
from torch import Tensor

from worker.v4.byte_statistics import histogram
from worker.v4.planes import SAMPLES

WINDOWS: Final = ((0, 256), (256, 1024), (1024, 4096), (4096, SAMPLES))
"""Ranges of carrier samples, each with its own statistics."""

_LARGEST_DIFFERENCE: Final = 3
_CODES: Final = 2 * (2 * _LARGEST_DIFFERENCE + 1)
PAIR_FEATURES: Final = _CODES * (len(WINDOWS) + 1)
"""Number of statistics of one carrier: 14 for each window and for the centre crop."""


def pair_statistics(arrays: dict[str, Tensor], count: dict[str, Tensor]) -> Tensor:
    """Return pair statistics (B, 3, PAIR_FEATURES) of the alpha, index and RGB carriers and of the centre crop."""
    crop = arrays["pixel"].flatten(1)
    reference = _pair_shares(crop, 3, None, ((0, crop.shape[1]),))
    features = torch.zeros(crop.shape[0], 3, PAIR_FEATURES, device=crop.device)
    for carrier, (name, lag) in enumerate((("alpha", 1), ("index", 1), ("rgb", 3))):
        rows = count[f"{name}_count"].nonzero()[:, 0]
        if rows.shape[0] == 0:
            continue
        samples = arrays[name][rows]
        valid = count[f"{name}_count"][rows]
        features[rows, carrier] = torch.cat([_pair_shares(samples, lag, valid, WINDOWS), reference[rows]], dim=1)
    return features


def _pair_shares(samples: Tensor, lag: int, count: Tensor | None, windows: tuple[tuple[int, int], ...]) -> Tensor:
    """Return the joint shares (N, 14 a window) of a sample's least significant bit and the difference to its neighbour.

    Differences are clamped to -3 to 3. `samples` is (N, K) uint8; only the first `count` are valid. A sample's
    neighbour is `lag` positions later, within the same window; the windows adjoin.
    """
    values = samples[:, : windows[-1][1]].to(torch.int16)
    first = values[:, :-lag]
    code = (values[:, lag:] - first).clamp_(-_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE)
    code.add_(first & 1, alpha=_CODES // 2).add_(_first_codes(samples.device, lag, windows))
    inside = len(windows) * _CODES
    if count is not None and bool((count < values.shape[1]).any()):
        position = torch.arange(lag, values.shape[1], device=samples.device)
        code.masked_fill_(position >= count[:, None], inside)
    counts = histogram(code, inside + _CODES)[:, :inside].reshape(-1, len(windows), _CODES)
    return (counts / counts.sum(2, keepdim=True).clamp(min=1.0)).flatten(1)


@cache
def _first_codes(device: torch.device, lag: int, windows: tuple[tuple[int, int], ...]) -> Tensor:
    """Return (K - lag,) int16: the code of each pair if both samples are 0; beyond all codes if it crosses windows."""
    codes = torch.full((windows[-1][1] - lag,), len(windows) * _CODES, dtype=torch.int16)
    for number, (start, stop) in enumerate(windows):
        codes[start : stop - lag] = number * _CODES
    return (codes + _LARGEST_DIFFERENCE).to(device)
