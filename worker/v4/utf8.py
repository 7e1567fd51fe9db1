"""Finds the text in byte sequences: UTF-8 without control characters, except tabs and line ends."""

from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

PADDING: Final = 256
"""Token after a byte sequence's end."""

_TEXT: Final = 1
_TRAIL: Final = 2
_LOOKBACK: Final = 3


def is_text(rows: Tensor) -> Tensor:
    """Return, for each of (N, K) tokens, whether it is text, as uint8 of 0 or 1.

    A byte is text if it is a trailing byte where one is due, or a leading byte where none is due.
    """
    count = rows.shape[1]
    padded = functional.pad(rows, (_LOOKBACK, 0), value=PADDING)
    # As one long row: operations on contiguous memory are many times as fast as on parts of each row.
    code = _codes(rows.device).index_select(0, padded.reshape(-1))
    due = (code[2:-1] & 4) | (code[1:-2] >> 1 & 4) | (code[:-3] >> 2 & 4)
    fits = (code[3:] >> (due >> 2)) & 1
    return functional.pad(fits, (_LOOKBACK, 0)).view(-1, count + _LOOKBACK)[:, _LOOKBACK:]


@cache
def _codes(device: torch.device) -> Tensor:
    """Return flags of each token (257,): 1 leads a character, 2 trails; 4, 8, 16: one, two, three bytes must follow."""
    token = torch.arange(PADDING + 1, device=device)
    ascii_text = ((token >= 32) & (token < 127)) | (token == 9) | (token == 10) | (token == 13)
    code = ascii_text.to(torch.uint8)
    code[0x80:0xC0] = _TRAIL
    code[0xC2:0xE0] = _TEXT | 4
    code[0xE0:0xF0] = _TEXT | 4 | 8
    code[0xF0:0xF5] = _TEXT | 4 | 8 | 16
    return code
