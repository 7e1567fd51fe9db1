"""Statistics of byte sequences: kinds of bytes, entropy, repetition, and the text that a sequence begins with."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

PADDING: Final = 256
"""Token after a byte sequence's end."""

TEXT_FEATURES: Final = 21
"""Statistics of the text that a byte sequence begins with."""
CONTENT_FEATURES: Final = 29 + 2 * TEXT_FEATURES
"""Statistics of one byte sequence."""

_TEXT_WINDOW: Final = 192
_CHARSET_BYTES: Final = 8


def byte_statistics(tokens: Tensor, present: Tensor) -> Tensor:
    """Return byte statistics (B, S, CONTENT_FEATURES) of (B, S, K) tokens where `present` (B, S), else 0.

    Shares of kinds of bytes near the start and in all, entropy, repetition, distance to the first zero, length, whether
    the last byte is zero and the only one, how many bytes 255 no zero follows, as it does in a JPEG scan; then the
    statistics of the leading text, from the first byte and from behind a charset header.
    """
    features = torch.zeros(*present.shape, CONTENT_FEATURES, device=tokens.device)
    rows = tokens[present]
    if rows.shape[0] == 0:
        return features
    classes = _byte_classes(tokens.device)
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
    text = [leading_text(rows[:, start : start + _TEXT_WINDOW]) for start in (0, _CHARSET_BYTES)]
    features[present] = torch.cat([*shares, scalars, *text], dim=1)
    return features


def leading_text(rows: Tensor) -> Tensor:
    """Return statistics (N, TEXT_FEATURES) of the text that (N, K) tokens begin with: UTF-8 but control characters.

    Its length on several scales, what ends it (a zero, the sequence's end or the window's), the kinds of its bytes,
    how many of them differ, and how often it repeats itself.
    """
    ascii_text, trail, lead = _utf8_roles(rows.device)
    expected = functional.pad(lead[rows], (3, 0))
    one, two, three = expected[:, 2:-1], expected[:, 1:-2], expected[:, :-3]
    is_due = (one >= 1) | (two >= 2) | (three >= 3)
    # A byte fits if it is a trailing byte exactly where one is due, and text if it is none.
    fits = torch.where(is_due, trail[rows], ascii_text[rows] | (lead[rows] > 0))
    ends = functional.pad(~fits, (0, 1), value=True).to(torch.uint8)
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


def _utf8_roles(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return by token (257,): whether it is ASCII text, whether a trailing byte of UTF-8, and how many follow it."""
    token = torch.arange(PADDING + 1, device=device)
    ascii_text = ((token >= 32) & (token < 127)) | (token == 9) | (token == 10) | (token == 13)
    trail = (token >= 0x80) & (token < 0xC0)
    lead = (
        ((token >= 0xC2) & (token < 0xE0)).to(torch.int8)
        + 2 * ((token >= 0xE0) & (token < 0xF0)).to(torch.int8)
        + 3 * ((token >= 0xF0) & (token < 0xF5)).to(torch.int8)
    )
    return ascii_text, trail, lead


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
    offset = torch.arange(values.shape[0], device=values.device, dtype=values.dtype)[:, None] * bins
    counts = torch.bincount((values + offset).reshape(-1), minlength=values.shape[0] * bins)
    return counts.view(values.shape[0], bins).float()
