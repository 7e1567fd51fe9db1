"""Finds runs of text in bytes: UTF-8 without control characters and without the pattern of a plain area."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from worker.v4.plain_patterns import TEXT_LIKE

_CHARACTER: Final = (
    rb"[\t\n\r\x20-\x7e]|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
# Possessive, so that there is no backtracking: the time is linear in the length of a run.
_RUN: Final = re.compile(rb"(?:" + _CHARACTER + rb")++")
_CUT_CHARACTER: Final = re.compile(rb"[\xc3-\xf4]|[\xe1-\xf4][\x80-\xbf]|[\xf1-\xf4][\x80-\xbf]{2}")
_CONTINUATION: Final = (0x80, 0xC0)


class TextRuns:
    """The maximal runs of text in some bytes. With `is_cut`, the bytes may end within a character."""

    def __init__(self, data: bytes, *, is_cut: bool = False) -> None:
        self._data = data
        self._spans = [span for match in _RUN.finditer(data) for span in _leave_out_patterns(data, *match.span())]
        if is_cut and self._spans and _CUT_CHARACTER.fullmatch(data, self._spans[-1][1]):
            self._spans[-1] = self._spans[-1][0], len(data)
        self._starts = [start for start, _ in self._spans]

    def find_end(self, start: int) -> int:
        """Return the end of the text at `start`; `start` itself if there is none."""
        number = bisect_right(self._starts, start) - 1
        if number < 0 or start >= len(self._data):
            return start
        end = self._spans[number][1]
        # No text begins in the middle of a character.
        inside = _CONTINUATION[0] <= self._data[start] < _CONTINUATION[1]
        return end if end > start and not inside else start

    def find_start(self, at: int) -> int:
        """Return the start of the text at `at`; `at` itself if there is none."""
        number = bisect_right(self._starts, at) - 1
        return self._starts[number] if number >= 0 and self._spans[number][1] > at else at

    def list_ends(self, reach: int, length: int) -> dict[int, int]:
        """Return the end of the text at each of the first `reach` offsets that have at least `length` bytes of it."""
        ends: dict[int, int] = {}
        for start, end in self._spans:
            if start >= reach:
                break
            ends |= dict.fromkeys(range(start, min(reach, end - length + 1)), end)
        return ends

    def find_longest(self, reach: int) -> tuple[int, int]:
        """Return start and end of the longest run that begins within `reach`; the first of several."""
        near = self._spans[: bisect_right(self._starts, reach)]
        return max(near, key=lambda span: span[1] - span[0], default=(0, 0))


def _leave_out_patterns(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run of text between the patterns of plain areas, which may be in it."""
    for pattern in TEXT_LIKE.finditer(data, start, end):
        if pattern.start() > start:
            yield start, pattern.start()
        start = pattern.end()
    if end > start:
        yield start, end


def is_text(data: bytes) -> bool:
    """Whether all bytes are one run of text."""
    return _RUN.fullmatch(data) is not None and not has_pattern(data)


def has_pattern(data: bytes) -> bool:
    """Whether the bytes contain the pattern of a plain area that looks like text."""
    return TEXT_LIKE.search(data) is not None


def decode_text(payload: bytes) -> str | None:
    """Return the payload as text, or None if it is empty, not UTF-8, or more than a tenth of it control characters.

    An incomplete character at the very end is left out.
    """
    text = _decoded(payload)
    if not text:
        return None
    if text.isprintable():
        return text
    control = sum(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in text)
    return text if control * 10 <= len(text) else None


def _decoded(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        cut = error.start >= len(payload) - 3 and error.reason == "unexpected end of data"
        return payload[: error.start].decode() if cut else None
