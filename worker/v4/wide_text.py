"""Text in characters of two or four bytes each: UTF-16 and UTF-32, with or without a byte order mark."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from worker.v4.text_runs import decode_text

_CODINGS: Final = (
    ("utf-32-le", "<u4", b"\xff\xfe\x00\x00"), ("utf-32-be", ">u4", b"\x00\x00\xfe\xff"),
    ("utf-16-le", "<u2", b"\xff\xfe"), ("utf-16-be", ">u2", b"\xfe\xff"),
)  # fmt: skip
_LEADS: Final = (0, 2, 3, 4, 8)
"""Bytes of a length that may stand in front."""
_MIN_CHARACTERS: Final = 6
_MIN_DISTINCT: Final = 4
# What no bytes of UTF-8 and little noise look like: alphabets from Latin to Arabic, and punctuation.
_WESTERN: Final = 0x0900
_BLOCK: Final = 256
_PUNCTUATION: Final = 0x20
# Bytes of noise that may look like more of a text than its length says.
_CHANCE: Final = 4
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_CONTROLS: Final = (9, 10, 13)


@dataclass(frozen=True, slots=True)
class WideText:
    """A text of wide characters from `start` to `end`, behind its mark if it has one; `text` is its UTF-8."""

    start: int
    end: int
    coding: str
    text: bytes


def find_wide_text(data: bytes, first: int) -> WideText | None:
    """Return the text of wide characters that begins at `first` of `data`, or else behind a length there."""
    readings = [
        (lead, text)
        for lead in _LEADS
        for coding in _CODINGS
        if (text := _read(data, first + lead, *coding)) is not None
    ]
    for lead, text in readings:
        field, size = data[first : first + lead], text.end - first - lead
        values = {int.from_bytes(field, order) // unit for order in _ORDERS for unit in (1, 8)}
        if any(0 <= size - value <= _CHANCE for value in values if value):
            return text
    return readings[0][1] if readings else None


def _read(data: bytes, start: int, coding: str, kind: str, mark: bytes) -> WideText | None:
    start += len(mark) * data.startswith(mark, start)
    width = np.dtype(kind).itemsize
    # What almost nothing passes, before all of it is looked at.
    high = data[start + (1 if coding.endswith("le") else width - 2) : start + _MIN_CHARACTERS * width : width]
    if max(high, default=_PUNCTUATION + 1) > _PUNCTUATION:
        return None
    units = np.frombuffer(data[start : start + (len(data) - start) // width * width], kind)
    blocks = units // _BLOCK
    fits = ((units >= ord(" ")) & (units < _WESTERN)) | np.isin(units, _CONTROLS) | (blocks == _PUNCTUATION)
    count = len(units) if fits.all() else int(fits.argmin())
    # Behind a text stands noise, of which a character now and then fits, but from an alphabet of its own.
    while count > _MIN_CHARACTERS and np.count_nonzero(blocks[:count] == blocks[count - 1]) == 1:
        count -= 1
    shown = units[:count]
    if count < _MIN_CHARACTERS or len(np.unique(shown)) < _MIN_DISTINCT:
        return None
    end = start + count * width
    text = data[start:end].decode(coding, "ignore").encode()
    return WideText(start, end, coding, text) if decode_text(text) is not None else None
