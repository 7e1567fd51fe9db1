"""Finds the names of files that tools write before a payload, next to its length."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_NAME: Final = 130
"""The most bytes of a file name."""
_NAME: Final = re.compile(rb"[\w(-][\w ().+-]{0,120}\.(?:7z|[A-Za-z][A-Za-z0-9]{0,7})")
# A name without a suffix, which only its length or a separator after it tells from the start of a text.
_WORD: Final = re.compile(rb"[\w-]{1,40}")
_MIN_NAME: Final = 3
# The most bytes of flags and lengths between the length of a payload and a file name.
_MAX_FLAGS: Final = 6
# Distances from the first byte of a name's length to the name: lengths of 1 to 4 bytes.
_GAPS: Final = (1, 2, 3, 4)
_ENDS: Final = (b"\x00", b"\n", b"|", b":")
_WORD_ENDS: Final = (b"\x00", b"\n", b"|")


def is_name(text: bytes) -> bool:
    """Whether the text is exactly a file name."""
    return _NAME.fullmatch(text) is not None


def is_word(text: bytes) -> bool:
    """Whether the text is exactly a name without a suffix."""
    return _WORD.fullmatch(text) is not None


def find_name(data: bytes) -> tuple[int, bytes] | None:
    """Return offset and bytes of the first file name, None if there is none."""
    found = _NAME.search(data)
    return (found.start(), found.group()) if found else None


@dataclass(frozen=True, slots=True)
class NameEnd:
    """The offset after a name and its separator; `is_sure` says that the name has a suffix."""

    end: int
    is_sure: bool


class FileNames:
    """The file names among the bytes from `first` to `reach` of `data`."""

    def __init__(self, data: bytes, first: int, reach: int) -> None:
        self._data = data
        self._spans = list(_list_names(data, first, reach))
        self._inside = {at for start, end in self._spans for at in range(start + 1, end)}
        self._after = {end + separator for _, end in self._spans for separator in (0, 1)}

    def contain(self, at: int) -> bool:
        """Whether the offset is inside a name, after its first byte."""
        return at in self._inside

    def end_before(self, at: int) -> bool:
        """Whether a name, or the separator after it, ends at the offset."""
        return at in self._after

    def list_ends(self, behind: int) -> Iterator[NameEnd]:
        """Yield the ends of names that start at `behind` or soon after it, given by a separator or by a length."""
        data = self._data
        if (match := _NAME.match(data, behind)) and data[match.end() : match.end() + 1] in _ENDS:
            yield NameEnd(match.end() + 1, is_sure=True)
        elif (match := _WORD.match(data, behind)) and data[match.end() : match.end() + 1] in _WORD_ENDS:
            yield NameEnd(match.end() + 1, is_sure=False)
        for at in range(behind, min(behind + _MAX_FLAGS, len(data))):
            size = data[at]
            for start in (at + gap for gap in _GAPS):
                # The other bytes of the name's length.
                if not 0 < size <= MAX_NAME or data[at + 1 : start].strip(b"\x00"):
                    continue
                if size >= _MIN_NAME and _NAME.fullmatch(data, start, start + size):
                    yield NameEnd(start + size, is_sure=True)
                elif not data[behind:at].strip(b"\x00") and _WORD.fullmatch(data, start, start + size):
                    yield NameEnd(start + size, is_sure=False)


def _list_names(data: bytes, first: int, reach: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each name with a suffix; if its length precedes it, that says where it ends."""
    at = first
    while match := _NAME.search(data, at, reach):
        start, end = match.span()
        stated = start + data[start - 1] if start else 0
        if start < stated < end and _NAME.fullmatch(data, start, stated):
            end = stated
        yield start, end
        at = end
