"""Statistics of the longest run of text in a byte sequence, and of the lengths that may precede it.

Programs write a length, a magic, a name or a digest before their text, and not all close it with a zero byte; but all
leave a run of text that is longer than chance would make it.
"""

import math
from functools import cache
from typing import Final

import torch
from torch import Tensor

from worker.v4.byte_statistics import TEXT_FEATURES, leading_text
from worker.v4.utf8 import PADDING, is_text

_WINDOW: Final = 192
_CHARSET_BYTES: Final = 8
_LENGTH_COLUMNS: Final = 8
RUN_FEATURES: Final = 3 * TEXT_FEATURES + 12 + 10
"""Number of statistics of the text at the start of a byte sequence and of its longest run of text."""
LENGTH_FEATURES: Final = 4 * _LENGTH_COLUMNS
"""Number of statistics of the first bytes of a sequence, read as lengths."""

_WIDTHS: Final = (
    (2, "big"),
    (2, "little"),
    (3, "big"),
    (3, "little"),
    (4, "big"),
    (4, "little"),
    (8, "big"),
    (8, "little"),
)
_BEFORE: Final = ((2, "big"), (2, "little"), (4, "big"), (4, "little"), (8, "little"))
_SHIFTS: Final = 3
_SLACK: Final = 8
"""By how many bytes chance may extend a run of text."""


def find_longest_run(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return start and length (N,) int64 of the longest run of text in (N, K) tokens."""
    position = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=torch.int16)
    # The running maximum of non-text positions is the last one so far; the distance to it is the length of the run.
    last = torch.cummax((1 - is_text(rows)) * position, dim=1).values
    runs = position - last
    end = runs.argmax(1)
    length = runs.gather(1, end[:, None])[:, 0].long()
    return (end + 1 - length).clamp(min=0), length


def run_statistics(rows: Tensor, room: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Return statistics (N, RUN_FEATURES) of the text in (N, K) tokens.

    `start` and `length` are those of the longest run; `room` (N,) float64 is the size of the carrier in bytes. The
    statistics are those of `leading_text` from the first byte, after a charset header and from the longest run; the
    position of that run, the bytes around it, and whether a length before it matches.
    """
    count = rows.shape[1]
    window = start[:, None] + torch.arange(_WINDOW, device=rows.device)
    text = rows.gather(1, window.clamp(max=count - 1)).masked_fill(window >= count, PADDING)
    end = start + length
    after = torch.where(end < count, rows.gather(1, end.clamp(max=count - 1)[:, None])[:, 0], PADDING + 1)
    earlier = (start[:, None] - torch.arange(1, 5, device=rows.device)).clamp(min=0)
    before = rows.gather(1, earlier)
    long = length.float()
    place = torch.stack(
        [
            torch.log2(1.0 + long) / 10.0,
            (long / 256.0).clamp(max=1.0),
            long / count,
            torch.log2(1.0 + start.float()) / 10.0,
            (start == 0).float(),
            (start <= 8).float(),
            (after == 0).float(),
            (after == PADDING).float(),
            (after == PADDING + 1).float(),
            ((before == 0) & (start > 0)[:, None]).float().mean(1),
            ((before[:, 0] == 0) & (start > 0)).float(),
            (start.float() / 64.0).clamp(max=1.0),
        ],
        dim=1,
    )
    behind_charset = rows[:, _CHARSET_BYTES : _CHARSET_BYTES + _WINDOW]
    # In one call: for few short rows, the overhead of a call dominates.
    texts = leading_text(torch.cat([rows[:, :_WINDOW], behind_charset, text])).chunk(3)
    return torch.cat([*texts, place, _agreeing_lengths(rows, start, length, room)], dim=1)


def length_statistics(rows: Tensor, room: Tensor) -> Tensor:
    """Return statistics (N, LENGTH_FEATURES) of the first bytes of (N, K) tokens, read as lengths.

    For lengths of 2, 3, 4 and 8 bytes in either order: whether that many bytes, or bits, fit into a carrier of `room`
    (N,) float64 bytes, whether they fill it exactly, and how large the number is.
    """
    head = _as_numbers(rows[:, :_LENGTH_COLUMNS])
    value = head @ _weights(rows.device, _WIDTHS, 0)
    widths = torch.tensor([width for width, _ in _WIDTHS], dtype=torch.float64, device=rows.device)
    left = room[:, None] - widths
    fits, fits_bits = _fits(value, left)
    size = (torch.log2(1.0 + value) / 32.0).clamp(max=2.0)
    return torch.cat([fits.float(), fits_bits.float(), (value == left).float(), size.float()], dim=1)


def _agreeing_lengths(rows: Tensor, start: Tensor, length: Tensor, room: Tensor) -> Tensor:
    """Return (N, 10): for each width and order, in bytes and in bits, whether a length before a run matches it.

    The last bytes of a length may be printable, and so seem to be the beginning of the run.
    """
    count = rows.shape[1]
    place = start[:, None] + torch.arange(-_LENGTH_COLUMNS, _SHIFTS - 1, device=rows.device)
    near = _as_numbers(rows.gather(1, place.clamp(min=0, max=count - 1))).masked_fill(place < 0, 0.0)
    shifts = torch.arange(_SHIFTS, device=rows.device)
    value = near.unfold(1, _LENGTH_COLUMNS, 1) @ _weights(rows.device, _BEFORE, _LENGTH_COLUMNS)
    scaled = torch.cat([value, value / 8.0], dim=2)
    run = (length[:, None] - shifts)[:, :, None]
    agrees = (scaled <= run) & (run <= scaled + _SLACK) & (scaled >= 4.0)
    reaches_end = (start + length == count)[:, None, None]
    goes_on = reaches_end & (scaled >= run) & (scaled <= room[:, None, None])
    inside = (start[:, None] + shifts > 0)[:, :, None]
    return ((agrees | goes_on) & inside).any(1).float()


def _fits(value: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    return (value >= 1) & (value <= left), (value >= 8) & (value <= 8 * left) & (value % 8 == 0)


def _as_numbers(rows: Tensor) -> Tensor:
    return rows.masked_fill(rows == PADDING, 0).double()


@cache
def _weights(device: torch.device, fields: tuple[tuple[int, str], ...], end: int) -> Tensor:
    """Return (8, fields) weights that turn bytes into numbers: the first bytes, or with `end`, the bytes before it."""
    weights = torch.zeros(_LENGTH_COLUMNS, len(fields), dtype=torch.float64)
    for column, (width, order) in enumerate(fields):
        first = end - width if end else 0
        for position in range(width):
            power = width - 1 - position if order == "big" else position
            weights[first + position, column] = math.pow(256.0, power)
    return weights.to(device)
