"""The bytes that the least significant bits of a plain area leave: the bits of its colour, again and again.

The bits of RGB samples repeat every three, so the bytes packed from them repeat every three bytes, in one of 14 ways.
"""

import re
from typing import Final

import numpy as np

SEEN: Final = 6
"""How many bytes must follow the pattern to be recognised."""


def _list_patterns() -> frozenset[bytes]:
    """Return the first `SEEN` bytes of a plain area for each colour, byte offset and bit order."""
    patterns = set()
    for colour in range(8):
        bits = np.resize([colour & 1, colour >> 1 & 1, colour >> 2 & 1], 8 * SEEN)
        patterns |= {np.packbits(bits, bitorder="little").tobytes(), np.packbits(bits, bitorder="big").tobytes()}
    return frozenset(patterns)


_PATTERNS: Final = _list_patterns()
TEXT_LIKE: Final = re.compile(rb"\xdb\xb6(?:m\xdb\xb6)+m?")
"""Matches the only pattern that is valid UTF-8: a letter and a digit that no text repeats."""


def is_plain(data: bytes, at: int) -> bool:
    """Whether the bytes from offset `at` on are those of a plain area."""
    return data[at : at + SEEN] in _PATTERNS
