"""Finds the length of a payload, and so its header, among the first bytes of a carrier.

A number counts as a length if text, or a file, ends where it
says. That rarely happens by chance, so a length may be anywhere among the first bytes, have any width and byte order,
and count bytes or bits.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from starlight_vocabulary.payload import PayloadKind
from worker.v4.file_kinds import find_end, recognise_kind
from worker.v4.file_names import MAX_NAME, FileNames, NameEnd, is_name
from worker.v4.headers import (
    ALPHA_PREFIX,
    BITS,
    BYTES,
    DIGESTS,
    FIELDS,
    FITS,
    MAX_WORD,
    NAMES,
    SPELLED,
    SPELLED_LENGTH,
    SURE,
    WIDE,
    Header,
    Order,
)
from worker.v4.plain_patterns import is_plain
from worker.v4.text_runs import TextRuns

# How many bytes are searched for a length.
_MAX_HEADER: Final = 160
# Bytes between length and payload: none, version or flags, an empty word, or a digest (MD5, SHA-1, SHA-256, SHA-512).
_GAPS: Final = (0, 1, 2, 4, 8, 16, 20, 32, 64)
_TIME: Final = re.compile(rb"[0-2]?[0-9]:[0-5][0-9]\b")
# The most characters that noise after a payload is assumed to add to it; one more has a probability of 1 in 1000.
_CHANCE: Final = 8
_CHANCE_BEFORE_PLAIN: Final = 4
_CHANCE_IN_DIGEST: Final = 6
_MIN_HEXADECIMAL: Final = 2
_PERIODS: Final = (1, 2, 3)
# Fewer bytes after a length are no evidence for it, unless it is wide and at the start.
_MIN_TEXT: Final = 4
_MIN_FAR_TEXT: Final = 8
_MIN_OPAQUE: Final = 16
# This much text up to the end of the bytes that were read is enough evidence for a length that goes beyond them.
_SEEN_TEXT: Final = 64


def find_header(data: bytes, runs: TextRuns, total: int, *, is_whole: bool) -> Header | None:
    """Return the header that best explains the start of `data`, None if there is none.

    `data` is the first of `total` bytes in the carrier. `is_whole` says that the carrier ends where the payload does,
    as trailing bytes do, and not where the picture does.
    """
    found = list(_HeaderSearch(data, runs, total, is_whole=is_whole).list_headers())
    most = max((header.evidence for header in found), default=FITS)
    confirmed = [header for header in found if header.evidence == most]
    # A length inside or after the first payload belongs to that payload, or to the picture.
    first = min((header.start for header in confirmed), default=0)
    return max((header for header in confirmed if header.at < first), key=_rank, default=None)


def _rank(header: Header) -> tuple[int, int, bool, int]:
    """Return a sort key: how unlikely it is that the header is there by chance, then the tie-breakers."""
    # Between two byte orders: for text, the longer length; for other bytes the shorter, as the wrong one is too long.
    size = header.size if header.is_text else -header.size
    return header.bits, -header.gap, header.is_text or header.unit != BITS, size


class _HeaderSearch:
    def __init__(self, data: bytes, runs: TextRuns, total: int, *, is_whole: bool) -> None:
        self._data = data
        self._runs = runs
        self._total = total
        self._is_whole = is_whole
        self._first = len(ALPHA_PREFIX) if data.startswith(ALPHA_PREFIX) else 0
        leading = runs.find_end(self._first) - self._first
        # If the data starts with much text, a number in the middle of it is not a length.
        self._last = min(self._first + (1 if leading > MAX_WORD else _MAX_HEADER), len(data) - 2)
        reach = min(len(data), self._last + 8 + max(_GAPS) + MAX_NAME)
        self._text_ends = runs.list_ends(reach, _MIN_TEXT)
        self._kinds = {
            at: kind for at in range(self._first, reach) if (kind := recognise_kind(data, at, is_sought=True))
        }
        self._own_ends: dict[int, int | None] = {}
        self._names = FileNames(data, self._first, reach)
        self._starts: dict[int, list[NameEnd]] = {}

    def list_headers(self) -> Iterator[Header]:
        """Yield every header whose length matches what follows it."""
        yield from self._list_spelled()
        for at in range(self._first, self._last):
            if at > self._first and (self._names.contain(at) or self._is_inside_text(at)):
                continue
            found = [header for width, order in FIELDS for header in self._measure(at, width, order)]
            yield from found
            if any(header.exact and header.start == at + header.width > at + 2 for header in found):
                # No later header could have more evidence.
                return

    def _list_spelled(self) -> Iterator[Header]:
        """Yield headers whose length is written as text, in decimal or hexadecimal, in bytes or in bits."""
        match = SPELLED_LENGTH.match(self._data, self._first)
        if match is None or _TIME.match(self._data, self._first):
            return
        word = match.group(1)
        # Digits are tried as decimal and as hexadecimal.
        values = [int(word)] if word.isdigit() else []
        values += [int(word, 16)] if len(word) >= _MIN_HEXADECIMAL else []
        start = match.end() + len(ALPHA_PREFIX) * self._data.startswith(ALPHA_PREFIX, match.end())
        for value in values:
            for size in (value, value - (start - match.end()), value // 8 if value % 8 == 0 else 0):
                header = self._judge(start, size, self._first, match.end() - self._first, "big", SPELLED)
                if header:
                    yield header

    def _measure(self, at: int, width: int, order: Order) -> Iterator[Header]:
        behind = at + width
        value = int.from_bytes(self._data[at:behind], order)
        if not 0 < value <= 8 * self._total or behind > len(self._data):
            return
        units = [(BYTES, value)] if value <= self._total - behind else []
        if value % 8 == 0 and value // 8 <= self._total - behind:
            units.append((BITS, value // 8))
        # A wide length contains a zero, which text does not.
        sure = width > 2 and at == self._first
        is_wide = width > 3 and at == self._first
        for unit, size in units:
            for start, left, has_name in self._list_starts(behind, size, width):
                header = self._judge(start, left, at, width, order, unit)
                if header:
                    yield replace(header, has_name=has_name)
            if is_wide and self._runs.find_end(behind) >= behind + size:
                yield Header(behind, size, at, width, order, unit, exact=False, evidence=WIDE, is_text=True)
            fills = self._fills(behind, size)
            if fills or (sure and size >= _MIN_OPAQUE):
                yield Header(behind, size, at, width, order, unit, exact=fills, evidence=FITS)

    def _list_starts(self, behind: int, size: int, width: int) -> Iterator[tuple[int, int, bool]]:
        """Yield possible starts of a payload of `size` bytes, its remaining size, and whether a name precedes it."""
        if self._data.startswith(ALPHA_PREFIX, behind):
            start = behind + len(ALPHA_PREFIX)
            yield from ((start, size, False), (start, size - len(ALPHA_PREFIX), False))
            return
        if behind not in self._starts:
            self._starts[behind] = list(dict.fromkeys(self._names.list_ends(behind)))
        for name in self._starts[behind]:
            left = size - (name.end - behind)
            if name.is_sure:
                yield from ((name.end, size, True), (name.end, left, True))
            elif self._ends_at(self._runs.find_end(name.end), name.end + size):
                yield name.end, size, True
        if any(name.is_sure for name in self._starts[behind]):
            # What looks like a name may be the start of a text of exactly this length.
            if self._runs.find_end(behind) == behind + size:
                yield behind, size, False
            return
        chance = _CHANCE_IN_DIGEST if width > 2 else _CHANCE_IN_DIGEST // 2
        for gap in _GAPS:
            start = behind + gap
            if (gap and self._names.contain(start)) or (start not in self._text_ends and start not in self._kinds):
                continue
            # Text must begin after the gap, not before it; but the last bytes of a digest may look like text.
            if gap and start - self._runs.find_start(start) > (chance if gap in DIGESTS else 0):
                continue
            yield start, size, False
            if gap in DIGESTS:
                yield start, size - gap, False

    def _is_inside_text(self, at: int) -> bool:
        """Whether so much text precedes the offset, and no file name does, that a number there is not a length."""
        return at - self._runs.find_start(at) > MAX_WORD and not self._names.end_before(at)

    def _judge(self, start: int, size: int, at: int, width: int, order: Order, unit: str) -> Header | None:
        """Return the header if everything that its length covers is text, or a file of a known kind."""
        end = start + size
        is_direct = at == self._first and start == at + width
        if size < (_MIN_TEXT if is_direct else _MIN_FAR_TEXT) or end > self._total or start >= len(self._data):
            return None
        text_end = self._runs.find_end(start)
        # A script is text, and must look like it.
        if self._kinds.get(start, PayloadKind.SCRIPT) is not PayloadKind.SCRIPT:
            exact = text_end == end or self._fills(start, size) or self._find_own_end(start) == size
            return Header(start, size, at, width, order, unit, exact, SURE) if size >= _MIN_OPAQUE else None
        if self._ends_at(text_end, end) or (text_end >= end and self._is_chance(end, text_end)):
            names = unit != SPELLED and is_name(self._data[start:end])
            evidence = NAMES if names else SURE
            return Header(start, size, at, width, order, unit, text_end == end, evidence, is_text=True)
        if text_end == len(self._data) < end and text_end - start >= _SEEN_TEXT:
            return Header(start, size, at, width, order, unit, exact=False, evidence=SURE, is_text=True)
        return None

    def _find_own_end(self, start: int) -> int | None:
        """Return the size of the file at `start` by its own format."""
        if start not in self._own_ends:
            self._own_ends[start] = find_end(self._data[start:], self._kinds[start])
        return self._own_ends[start]

    def _fills(self, start: int, size: int) -> bool:
        """Whether `size` bytes, and perhaps a zero, are all that the carrier has from `start` on."""
        return self._is_whole and size >= _MIN_TEXT and self._total - (start + size) in (0, 1)

    def _ends_at(self, text_end: int, end: int) -> bool:
        """Whether text that ends at `text_end` says so of `end`: a plain area's first bytes may look like text."""
        return text_end == end or (0 < text_end - end <= _CHANCE_BEFORE_PLAIN and is_plain(self._data, text_end))

    def _is_chance(self, end: int, text_end: int) -> bool:
        """Whether the text after the payload is only noise, or the pattern of a plain picture."""
        if text_end - end <= _CHANCE:
            # Noise rarely lies between a text and a plain area.
            return not is_plain(self._data, text_end)
        # From here on, a repeating pattern.
        rest = self._data[end - 1 : text_end]
        return any(rest[1:-period] == rest[1 + period :] and rest[0] != rest[period] for period in _PERIODS)
