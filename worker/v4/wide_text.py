"""Finds text in UTF-16 and UTF-32, with or without a byte order mark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from worker.v4.headers import SPELLED_LENGTH
from worker.v4.plain_patterns import is_plain
from worker.v4.text_runs import decode_text

_CODINGS: Final = (
    ("utf-32-le", "<u4", b"\xff\xfe\x00\x00"), ("utf-32-be", ">u4", b"\x00\x00\xfe\xff"),
    ("utf-16-le", "<u2", b"\xff\xfe"), ("utf-16-be", ">u2", b"\xfe\xff"),
)  # fmt: skip
_LEADS: Final = (2, 3, 4, 8)
"""Widths of a length that may precede the text."""
_MIN_DISTINCT: Final = 4
# The fewest characters of a text whose length precedes it.
_FEWEST: Final = 6
# As many after a byte order mark.
_FEWEST_MARKED: Final = 4
_BLOCK: Final = 256
# As many, after which a text without spaces or punctuation is a pattern; and the blocks that have those.
_LONG: Final = 64
_BREAKS: Final = (0x00, 0x20, 0x30, 0xFF)
# Blocks that occur with all scripts: general and Chinese punctuation, and full-width forms, except noncharacters.
_PUNCTUATION: Final = (0x20, 0x30, 0xFF)
_NO_CHARACTER: Final = 0xFFF0
# How many bytes of noise may extend a text beyond its length.
_CHANCE: Final = 8
# As many, if the length may be a letter; and the width of a length that is evidence of its own.
_NEAR: Final = 4
_SURE_LEAD: Final = 4
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_CONTROLS: Final = (9, 10, 13)
# A reading in another script must be longer by this many bytes to be preferred.
_LONGER: Final = 16
_NARROW_BYTES: Final = 32
_NARROW_SHARE: Final = 0.85
_NARROW_TEXT: Final = 12
_KANA: Final = 0x30
# The most blocks of a text in an alphabet, with punctuation.
_MOST_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True)
class Script:
    """The `blocks` of 256 characters, with ASCII and punctuation, that texts in some languages use.

    The more blocks a script has, the more bytes are its letters by chance, so `min_characters` is larger. A text in an
    alphabet uses one or two blocks; one that `has_breaks` contains spaces or punctuation if it is long.
    """

    blocks: tuple[int, ...]
    min_characters: int
    is_alphabet: bool = False
    has_breaks: bool = False


def _with_punctuation(*blocks: int) -> tuple[int, ...]:
    return tuple(sorted({0, *_PUNCTUATION, *blocks}))


SCRIPTS: Final = (
    Script(_with_punctuation(*range(0x09), 0x1E), 6, is_alphabet=True),  # Latin to Arabic
    Script(_with_punctuation(*range(0x09, 0x20)), 8, is_alphabet=True),  # Indian scripts, Thai, Georgian, …
    Script(_with_punctuation(*range(0xAC, 0xD8)), 12, has_breaks=True),  # Korean
    Script(_with_punctuation(*range(0x4E, 0xA0)), 16, has_breaks=True),  # Chinese and Japanese
    Script(_with_punctuation(0xD8, *range(0xDC, 0xE0)), 12),  # emoji, as pairs of surrogates
)
EMOJI: Final = (0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F9)
ANY: Final = Script(_with_punctuation(*EMOJI, *(block for script in SCRIPTS for block in script.blocks)), 6)
"""The script of UTF-32: two bytes of each character are zero, which is evidence enough."""


@dataclass(frozen=True, slots=True)
class WideText:
    """A text of wide characters from `start`, after any byte order mark, to `end`; `text` is its UTF-8.

    `is_long`: it is too long for chance. `blocks` is the number of blocks that its characters are from.
    """

    start: int
    end: int
    coding: str
    text: bytes
    is_long: bool
    blocks: int


def find_wide_text(data: bytes, first: int) -> WideText | None:
    """Return the text of wide characters at offset `first` of `data`, or after a length there; None without one."""
    if spelled := _find_spelled(data, first):
        return spelled
    if _is_narrow(data[first : first + _NARROW_BYTES]):
        return None
    at_once = [text for coding in _CODINGS for text in _read_all(data, first, *coding)]
    behind = [(lead, text) for lead in _LEADS for coding in _CODINGS for text in _read_all(data, first + lead, *coding)]
    if measured := _find_measured(data, first, behind, is_after_text=any(text.is_long for text in at_once)):
        return measured
    for texts in (at_once, [text for _, text in behind]):
        if long := [text for text in texts if text.is_long]:
            return _choose(long)
    return None


def _find_spelled(data: bytes, first: int) -> WideText | None:
    """Return the text after a length in digits that counts its bytes."""
    length = SPELLED_LENGTH.match(data, first)
    if length is None or not length[1].isdigit():
        return None
    start, size = length.end(), int(length[1])
    texts = [text for coding in _CODINGS for text in _read_all(data, start, *coding)]
    measured = [text for text in texts if 0 <= text.end - (start + size) <= _CHANCE]
    return _cut(data, min(measured, key=lambda text: text.end), start + size) if measured else None


def _find_measured(
    data: bytes, first: int, behind: Sequence[tuple[int, WideText]], *, is_after_text: bool
) -> WideText | None:
    """Return the text whose length about matches the bytes before it, cut to that length.

    `is_after_text`: these bytes may also be the first letters of a long text; the length must then match better.
    """
    found: list[tuple[int, int, bool, int, WideText]] = []
    for lead, text in behind:
        size = text.end - first - lead
        for order, unit in product(_ORDERS, (1, 8)):
            value = int.from_bytes(data[first : first + lead], order) // unit
            is_sure = text.is_long or (lead >= _SURE_LEAD and unit == 1)
            chance = _CHANCE if is_sure and not is_plain(data, text.end) else 0
            is_about = value and 0 <= size - value <= (min(chance, _NEAR) if is_after_text else chance)
            cut = _cut(data, text, first + lead + value) if is_about else None
            if cut is not None:
                found.append((size - value, text.blocks, lead % 2 > 0, len(found), cut))
    return min(found)[-1] if found else None


def _choose(texts: Sequence[WideText]) -> WideText:
    """Return the longest text with the start of the first one; of about equally long ones, that of fewest blocks."""
    same = [text for text in texts if text.start == texts[0].start]
    longest = max(text.end for text in same)
    return min((text for text in same if longest - text.end < _LONGER), key=lambda text: text.blocks)


def _read_all(data: bytes, start: int, coding: str, kind: str, mark: bytes) -> Iterator[WideText]:
    """Yield the text at an offset in this coding, once for each script that it can be in."""
    is_marked = data.startswith(mark, start)
    start += len(mark) * is_marked
    if not is_marked and _is_narrow(data[start : start + _NARROW_BYTES]):
        return
    width = np.dtype(kind).itemsize
    fewest = _FEWEST_MARKED if is_marked else _FEWEST
    high = data[start + (width - 1 if coding.endswith("le") else 0) : start + fewest * width : width]
    for script in SCRIPTS if width == 2 else (ANY,):
        # A cheap check that excludes almost everything.
        if high.translate(None, bytes(script.blocks) if width == 2 else b"\x00"):
            continue
        units = np.frombuffer(data[start : start + (len(data) - start) // width * width], kind)
        count = _count(units, script)
        while count > fewest and is_plain(data, start + (count - 1) * width):
            count -= 1
        shown = units[:count]
        if count < fewest or (not is_marked and len(np.unique(shown)) < _MIN_DISTINCT):
            continue
        if script.has_breaks and not is_marked and count >= _LONG and not np.isin(shown // _BLOCK, _BREAKS).any():
            continue
        end = start + count * width
        text = data[start:end].decode(coding, "ignore").encode()
        blocks = len(np.unique(shown // _BLOCK))
        is_mixed = script.is_alphabet and blocks > _MOST_BLOCKS
        if decode_text(text) is not None and not is_mixed:
            yield WideText(start, end, coding, text, is_marked or count >= script.min_characters, blocks)


def _is_narrow(head: bytes) -> bool:
    """Whether these bytes are more likely UTF-8, pairs of whose letters look like Chinese or Korean UTF-16."""
    # Every second byte of Japanese kana is 0x30, which is the digit 0 in ASCII.
    if max(half.count(_KANA) for half in (head[::2], head[1::2])) >= _NARROW_BYTES // 4:
        return False
    if decode_text(head.lstrip(b"\x00")[:_NARROW_TEXT]) is not None:
        return True
    return sum(ord(" ") <= byte < 127 for byte in head) >= _NARROW_SHARE * _NARROW_BYTES


def _count(units: NDArray[np.unsignedinteger[Any]], script: Script) -> int:
    """Return how many characters at the start are of a script."""
    blocks = units // _BLOCK
    fits = (units >= ord(" ")) & np.isin(blocks, script.blocks) & ((units < _NO_CHARACTER) | (blocks > 0xFF))
    fits |= np.isin(units, _CONTROLS)
    count = len(units) if fits.all() else int(fits.argmin())
    # The noise after a text may contain a character that fits, but mostly from a block that the text does not use.
    while script.is_alphabet and count > _FEWEST and np.count_nonzero(blocks[:count] == blocks[count - 1]) == 1:
        count -= 1
    return count


def _cut(data: bytes, whole: WideText, end: int) -> WideText | None:
    text = data[whole.start : end].decode(whole.coding, "ignore").encode()
    return replace(whole, end=end, text=text) if decode_text(text) is not None else None
