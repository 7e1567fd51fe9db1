"""Statistics of byte sequences: classes of bytes, entropy, repetition, and the text at the start of a sequence."""

import math
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from worker.v4.utf8 import PADDING, is_text

TEXT_FEATURES: Final = 21
"""Number of statistics of the text at the start of a byte sequence."""
BYTE_FEATURES: Final = 29
"""Number of statistics of a whole byte sequence."""
STUFFING_FEATURES: Final = 2
"""Number of statistics of the bytes 255."""
_PARTS: Final = (16, 64, 1024)
"""Ends of the parts, each from the start, in which classes of bytes are counted; the last is the length of a row."""
_LAGS: Final = 4
"""Largest distance at which repetition is measured."""


def byte_statistics(rows: Tensor) -> Tensor:
    """Return byte statistics (N, BYTE_FEATURES) of (N, K) tokens.

    They are: shares of byte classes near the start and overall, entropy, repetition, distance to the first zero,
    length, whether the last byte is zero and whether it is the only zero, and how many bytes 255 are not followed by a
    zero, as they would be in a JPEG scan.
    """
    classes = _byte_classes(rows.device)
    # Each byte is counted in one part only; the cumulative sum gives the counts from the start.
    parts = histogram(rows + _first_bins(rows.device, rows.shape[1]), len(_PARTS) * (PADDING + 1))
    counts = parts.view(-1, len(_PARTS), PADDING + 1).cumsum(1)
    lengths = counts[:, :, :PADDING].sum(2).clamp(min=1.0)
    shares = (counts @ classes / lengths[:, :, None]).flatten(1)
    length = lengths[:, -1]
    frequency = counts[:, -1, :PADDING] / length[:, None]
    entropy = -torch.special.xlogy(frequency, frequency).sum(1) / math.log(256)
    distinct = (frequency > 0).float().mean(1)
    start = rows[:, :64]
    repeats = (start[:, None] == look_back(start, _LAGS)).sum(2) / (start.shape[1] - distances(rows.device, _LAGS))
    # The value of argmax is the first position of the maximum.
    first_zero = ((rows == 0) | (rows == PADDING)).to(torch.uint8)
    first_zero[:, -1] = 1
    where = first_zero.argmax(1).float()
    last = rows.gather(1, length.long()[:, None] - 1)[:, 0]
    unstuffed = ((rows[:, :-1] == 255) & (rows[:, 1:] != 0) & (rows[:, 1:] != PADDING)).float().sum(1)
    scalars = torch.stack(
        [
            entropy,
            distinct,
            *repeats.flip(1).unbind(1),
            torch.log2(1.0 + where) / 10.0,
            torch.log2(length) / 10.0,
            (last == 0).float(),
            ((last == 0) & (where == length - 1.0)).float(),
            torch.log2(1.0 + unstuffed) / 4.0,
        ],
        dim=1,
    )
    return torch.cat([shares, scalars], dim=1)


def stuffing_statistics(rows: Tensor) -> Tensor:
    """Return statistics (N, STUFFING_FEATURES) of the bytes 255 in (N, K) tokens, which a zero follows in a JPEG scan.

    They are: how many of them a zero follows, and whether there are some and a zero follows each.
    """
    full = rows[:, :-1] == 255
    stuffed = (full & (rows[:, 1:] == 0)).sum(1)
    known = (full & (rows[:, 1:] != PADDING)).sum(1)
    return torch.stack([torch.log2(1.0 + stuffed) / 4.0, ((stuffed > 0) & (stuffed == known)).float()], dim=1)


@cache
def _first_bins(device: torch.device, count: int) -> Tensor:
    """Return (K,) int32: for each position in a sequence of `count` bytes, the first bin of the part it is in."""
    position = torch.arange(count, device=device)
    ends = torch.tensor(_PARTS[:-1], device=device)
    return torch.bucketize(position, ends, out_int32=True, right=True) * (PADDING + 1)


def leading_text(rows: Tensor) -> Tensor:
    """Return statistics (N, TEXT_FEATURES) of the text at the start of (N, K) tokens: UTF-8 without control characters.

    They are: its length on several scales, what ends it (a zero, the end of the sequence or of the window), its byte
    classes, its distinct bytes, and its repetition.
    """
    ends = functional.pad(1 - is_text(rows), (0, 1), value=1)
    run = ends.argmax(1)
    last = rows.gather(1, run.clamp(max=rows.shape[1] - 1)[:, None])[:, 0]
    inside = torch.arange(rows.shape[1], device=rows.device) < run[:, None]
    counts = histogram(rows.masked_fill(~inside, PADDING), PADDING + 1)[:, :PADDING]
    length = run.float()
    share = counts @ _byte_classes(rows.device)[:PADDING] / length.clamp(min=1.0)[:, None]
    distinct = (counts > 0).sum(1) / length.clamp(min=1.0)
    peak = counts.amax(1) / length.clamp(min=1.0)
    # One distance at a time: all at once would not fit into the processor's cache.
    lags = range(1, _LAGS + 1)
    same = torch.stack([((rows[:, lag:] == rows[:, :-lag]) & inside[:, lag:]).sum(1) for lag in lags], dim=1)
    repeats = same / (length[:, None] - distances(rows.device, _LAGS).flip(0)).clamp(min=1.0)
    scales = (length[:, None] / _scales(rows.device, rows.shape[1])).clamp(max=1.0)
    whole = run == rows.shape[1]
    ended = torch.stack([(last == 0) & ~whole, (last == PADDING) & ~whole, whole], dim=1)
    return torch.cat([scales, ended.float(), share, distinct[:, None], peak[:, None], repeats], dim=1)


@cache
def _scales(device: torch.device, count: int) -> Tensor:
    return torch.tensor([4.0, 8.0, 16.0, 32.0, 64.0, count], device=device)


def look_back(rows: Tensor, most: int) -> Tensor:
    """Return a view (N, most, K) of (N, K) tokens: those `most` to 1 positions before each, -1 before the start."""
    return functional.pad(rows, (most, 0), value=-1).unfold(1, rows.shape[1], 1)[:, :most]


@cache
def distances(device: torch.device, most: int) -> Tensor:
    """Return the distances (most,) float32 of `look_back`."""
    return torch.arange(most, 0, -1, dtype=torch.float32, device=device)


@cache
def _byte_classes(device: torch.device) -> Tensor:
    """Return the membership (257, 6) of tokens in classes: printable ASCII, letter, not ASCII, space, 0, 255."""
    token = torch.arange(PADDING + 1, device=device)
    lower = token | 32
    kinds = [
        (token >= 32) & (token < 127),
        (lower >= 97) & (lower < 123) & (token < 128),
        (token >= 128) & (token < PADDING),
        token == 32,
        token == 0,
        token == 255,
    ]
    return torch.stack(kinds, dim=1).float()


def histogram(values: Tensor, bins: int) -> Tensor:
    """Count how often each of 0 to `bins` - 1 occurs in each row of (N, K) integers, as (N, bins) float32."""
    offset = torch.arange(values.shape[0], device=values.device, dtype=torch.int32)[:, None] * bins
    # Converted first: adding integers of different widths takes ten times as long on a CPU.
    numbers = (values.to(torch.int32) + offset).reshape(-1)
    counts = torch.bincount(numbers, minlength=values.shape[0] * bins)
    return counts.view(values.shape[0], bins).float()
