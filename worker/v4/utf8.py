"""Which bytes of a sequence are text: UTF-8 but control characters, tabs and line ends excepted."""

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
    """Tell of each of (N, K) tokens whether it is text, as uint8 of 0 or 1.

    A byte fits if it is a trailing byte exactly where one is due, and the beginning of a character else.
    """
    count = rows.shape[1]
    padded = functional.pad(rows, (_LOOKBACK, 0), value=PADDING)
    # As one long row: operations on parts of it that lie together are many times as fast as on parts of each row.
    code = _codes(rows.device).index_select(0, padded.reshape(-1))
    due = (code[2:-1] & 4) | (code[1:-2] >> 1 & 4) | (code[:-3] >> 2 & 4)
    fits = (code[3:] >> (due >> 2)) & 1
    return functional.pad(fits, (_LOOKBACK, 0)).view(-1, count + _LOOKBACK)[:, _LOOKBACK:]


@cache
def _codes(device: torch.device) -> Tensor:
    """Return bits by token (257,): 1 begins a character, 2 trails one, 4, 8, 16 where one, two, three must follow."""
    token = torch.arange(PADDING + 1, device=device)
    ascii_text = ((token >= 32) & (token < 127)) | (token == 9) | (token == 10) | (token == 13)
    code = ascii_text.to(torch.uint8)
    code[0x80:0xC0] = _TRAIL
    code[0xC2:0xE0] = _TEXT | 4
    code[0xE0:0xF0] = _TEXT | 4 | 8
    code[0xF0:0xF5] = _TEXT | 4 | 8 | 16
    return code
