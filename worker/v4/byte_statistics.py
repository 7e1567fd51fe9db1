"""Statistics of byte sequences: kinds of bytes, entropy, repetition, and the text that a sequence begins with."""

import math
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from worker.v4.utf8 import PADDING, is_text

TEXT_FEATURES: Final = 21
"""Statistics of the text that a byte sequence begins with."""
BYTE_FEATURES: Final = 29
"""Statistics of one byte sequence as a whole."""


def byte_statistics(rows: Tensor) -> Tensor:
    """Return byte statistics (N, BYTE_FEATURES) of (N, K) tokens.

    Shares of kinds of bytes near the start and in all, entropy, repetition, distance to the first zero, length, whether
    the last byte is zero and the only one, how many bytes 255 no zero follows, as it does in a JPEG scan.
    """
    classes = _byte_classes(rows.device)
    counts = [histogram(rows[:, :stop], PADDING + 1) for stop in (16, 64, rows.shape[1])]
    length = (counts[-1].sum(1) - counts[-1][:, PADDING]).clamp(min=1.0)
    shares = [(count @ classes) / count[:, :PADDING].sum(1, keepdim=True).clamp(min=1.0) for count in counts]
    frequency = counts[-1][:, :PADDING] / length[:, None]
    entropy = -torch.special.xlogy(frequency, frequency).sum(1) / math.log(256)
    distinct = (frequency > 0).float().mean(1)
    start = rows[:, :64].float()
    repeats = [(start[:, lag:] == start[:, :-lag]).float().mean(1) for lag in (1, 2, 3, 4)]
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
            *repeats,
            torch.log2(1.0 + where) / 10.0,
            torch.log2(length) / 10.0,
            (last == 0).float(),
            ((last == 0) & (where == length - 1.0)).float(),
            torch.log2(1.0 + unstuffed) / 4.0,
        ],
        dim=1,
    )
    return torch.cat([*shares, scalars], dim=1)


def leading_text(rows: Tensor) -> Tensor:
    """Return statistics (N, TEXT_FEATURES) of the text that (N, K) tokens begin with: UTF-8 but control characters.

    Its length on several scales, what ends it (a zero, the sequence's end or the window's), the kinds of its bytes,
    how many of them differ, and how often it repeats itself.
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
    repeats = [
        ((rows[:, lag:] == rows[:, :-lag]) & inside[:, lag:]).sum(1) / (length - lag).clamp(min=1.0)
        for lag in (1, 2, 3, 4)
    ]
    scales = [(length / scale).clamp(max=1.0) for scale in (4, 8, 16, 32, 64, rows.shape[1])]
    whole = run == rows.shape[1]
    ended = [(last == 0) & ~whole, (last == PADDING) & ~whole, whole]
    return torch.stack([*scales, *(end.float() for end in ended), *share.unbind(1), distinct, peak, *repeats], dim=1)


@cache
def _byte_classes(device: torch.device) -> Tensor:
    """Return the membership (257, 6) of tokens: printable ASCII, letter, not ASCII, space, 0, 255."""
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
    counts = torch.bincount((values + offset).reshape(-1), minlength=values.shape[0] * bins)
    return counts.view(values.shape[0], bins).float()
