"""Text in characters of two or four bytes each: UTF-16 and UTF-32, with or without a byte order mark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from worker.v4.text_runs import decode_text

_CODINGS: Final = (
    ("utf-32-le", "<u4", b"\xff\xfe\x00\x00"), ("utf-32-be", ">u4", b"\x00\x00\xfe\xff"),
    ("utf-16-le", "<u2", b"\xff\xfe"), ("utf-16-be", ">u2", b"\xfe\xff"),
)  # fmt: skip
_LEADS: Final = (2, 3, 4, 8)
"""Bytes of a length that may stand in front."""
_MIN_DISTINCT: Final = 4
# So many are enough where a length says so.
_FEWEST: Final = 6
_BLOCK: Final = 256
# Of all scripts: general and Chinese punctuation, and forms of full width, but for what is no character.
_PUNCTUATION: Final = (0x20, 0x30, 0xFF)
_NO_CHARACTER: Final = 0xFFF0
# Bytes of noise that may look like more of a text than its length says.
_CHANCE: Final = 8
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_CONTROLS: Final = (9, 10, 13)
# By so many bytes a reading in another script is the longer one.
_LONGER: Final = 16
_NARROW_BYTES: Final = 32
_NARROW_SHARE: Final = 0.85
_NARROW_TEXT: Final = 12
_KANA: Final = 0x30
# Of an alphabet's text, punctuation among them.
_MOST_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True)
class Script:
    """Letters of some languages: the `blocks` of 256 characters that its texts have, ASCII and punctuation among them.

    The more blocks, the more characters have to stand together, as many bytes are letters of theirs by chance. A text
    in an alphabet is of one or two blocks.
    """

    blocks: tuple[int, ...]
    min_characters: int
    is_alphabet: bool = False


def _with_punctuation(*blocks: int) -> tuple[int, ...]:
    return tuple(sorted({0, *_PUNCTUATION, *blocks}))


SCRIPTS: Final = (
    Script(_with_punctuation(*range(0x09), 0x1E), 6, is_alphabet=True),  # Latin to Arabic
    Script(_with_punctuation(*range(0x09, 0x20)), 8, is_alphabet=True),  # of India, Thai, Georgian, …
    Script(_with_punctuation(*range(0xAC, 0xD8)), 12),  # Korean
    Script(_with_punctuation(*range(0x4E, 0xA0)), 16),  # Chinese and Japanese
)
EMOJI: Final = (0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F9)
ANY: Final = Script(_with_punctuation(*EMOJI, *(block for script in SCRIPTS for block in script.blocks)), 6)
"""What four bytes each may be: two of them are zero, which is telling enough."""


@dataclass(frozen=True, slots=True)
class WideText:
    """A text of wide characters from `start` to `end`, behind its mark if it has one; `text` is its UTF-8.

    `is_long` where it is too long for chance; `blocks` is of how many blocks its characters are.
    """

    start: int
    end: int
    coding: str
    text: bytes
    is_long: bool
    blocks: int


def find_wide_text(data: bytes, first: int) -> WideText | None:
    """Return the text of wide characters that begins at `first` of `data`, or else behind a length there."""
    if _is_narrow(data[first : first + _NARROW_BYTES]):
        return None
    at_once = [text for coding in _CODINGS for text in _read_all(data, first, *coding)]
    # What stands at once is no length; but of two bytes, it may be both.
    codings = {text.coding for text in at_once if text.is_long}
    behind = [
        (lead, text)
        for lead in _LEADS
        for coding in _CODINGS
        if not codings or (coding[0] in codings and lead % 2 == 0)
        for text in _read_all(data, first + lead, *coding)
    ]
    if measured := _find_measured(data, first, behind):
        return measured
    for texts in (at_once, [text for _, text in behind]):
        if long := [text for text in texts if text.is_long]:
            return _choose(long)
    return None


def _find_measured(data: bytes, first: int, behind: Sequence[tuple[int, WideText]]) -> WideText | None:
    """Return the text that is about as long as the bytes before it say, cut to that."""
    found: list[tuple[int, int, bool, int, WideText]] = []
    for lead, text in behind:
        size = text.end - first - lead
        for order, unit in product(_ORDERS, (1, 8)):
            value = int.from_bytes(data[first : first + lead], order) // unit
            is_about = value and 0 <= size - value <= (_CHANCE if text.is_long else 0)
            cut = _cut(data, text, first + lead + value) if is_about else None
            if cut is not None:
                found.append((size - value, text.blocks, lead % 2 > 0, len(found), cut))
    return min(found)[-1] if found else None


def _choose(texts: Sequence[WideText]) -> WideText:
    """Return the first, or one of another script that begins there too and is longer than chance makes it."""
    best = texts[0]
    for other in texts[1:]:
        if other.start == best.start and other.end - best.end >= _LONGER:
            best = other
    return best


def _read_all(data: bytes, start: int, coding: str, kind: str, mark: bytes) -> Iterator[WideText]:
    """Yield what stands at an offset in this coding, as a text of each script of which it can be one."""
    start += len(mark) * data.startswith(mark, start)
    if _is_narrow(data[start : start + _NARROW_BYTES]):
        return
    width = np.dtype(kind).itemsize
    high = data[start + (width - 1 if coding.endswith("le") else 0) : start + _FEWEST * width : width]
    for script in SCRIPTS if width == 2 else (ANY,):
        # What almost nothing passes, before all of it is looked at.
        if high.translate(None, bytes(script.blocks) if width == 2 else b"\x00"):
            continue
        units = np.frombuffer(data[start : start + (len(data) - start) // width * width], kind)
        count = _count(units, script)
        shown = units[:count]
        if count < _FEWEST or len(np.unique(shown)) < _MIN_DISTINCT:
            continue
        end = start + count * width
        text = data[start:end].decode(coding, "ignore").encode()
        blocks = len(np.unique(shown // _BLOCK))
        is_mixed = script.is_alphabet and blocks > _MOST_BLOCKS
        if decode_text(text) is not None and not is_mixed:
            yield WideText(start, end, coding, text, count >= script.min_characters, blocks)


def _is_narrow(head: bytes) -> bool:
    """Whether these bytes are rather letters of UTF-8, which are Chinese two by two, or Korean."""
    # Each second byte of Japanese letters is a digit.
    if max(half.count(_KANA) for half in (head[::2], head[1::2])) >= _NARROW_BYTES // 4:
        return False
    if decode_text(head[:_NARROW_TEXT]) is not None:
        return True
    return sum(ord(" ") <= byte < 127 for byte in head) >= _NARROW_SHARE * _NARROW_BYTES


def _count(units: NDArray[np.unsignedinteger[Any]], script: Script) -> int:
    """Return how many characters of a script stand at the start."""
    blocks = units // _BLOCK
    fits = (units >= ord(" ")) & np.isin(blocks, script.blocks) & ((units < _NO_CHARACTER) | (blocks > 0xFF))
    fits |= np.isin(units, _CONTROLS)
    count = len(units) if fits.all() else int(fits.argmin())
    # Behind a text stands noise, of which a character now and then fits, but from an alphabet of its own.
    while script.is_alphabet and count > _FEWEST and np.count_nonzero(blocks[:count] == blocks[count - 1]) == 1:
        count -= 1
    return count


def _cut(data: bytes, whole: WideText, end: int) -> WideText | None:
    text = data[whole.start : end].decode(whole.coding, "ignore").encode()
    return replace(whole, end=end, text=text) if decode_text(text) is not None else None
