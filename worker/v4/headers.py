"""Finds the header that tools write before a payload: its length, and perhaps magic, version, file name and digest.

Except for OpenStego's, no tool's format is known here. A number counts as a length if text, or a file, ends where it
says. That rarely happens by chance, so a length may be anywhere among the first bytes, have any width and byte order,
and count bytes or bits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from worker.v4.file_kinds import find_end, recognise_kind
from worker.v4.text_runs import TextRuns

ALPHA_PREFIX: Final = b"AI42"
"""The prefix of every `alpha` payload, by the specification."""
MAX_HEADER: Final = 160
"""How many bytes are searched for a length."""
MAX_WORD: Final = 24
"""The most characters of text that may belong to a header, such as a magic; longer text is a payload."""
MAX_NAME: Final = 130
"""The most bytes of a file name."""

FITS, NAMES, WIDE, SURE = range(4)
"""The evidence for a length, in increasing order: it fits into the carrier; a file name has this length; it is wide, at
the start, and at least that much text follows; a payload ends exactly where it says."""

BYTES, BITS, SPELLED = "bytes", "bits", "spelled"
"""How a length is written: a number of bytes, a number of bits, or digits as text."""

Order: TypeAlias = Literal["big", "little"]

# Widths and byte orders of lengths. Wide ones come first, since a narrow one may be the end of a wide one.
_FIELDS: Final[tuple[tuple[int, Order], ...]] = (
    (8, "big"), (8, "little"), (4, "big"), (4, "little"), (3, "big"), (3, "little"), (2, "big"), (2, "little"),
)  # fmt: skip
# Bytes between length and payload: none, version or flags, an empty word, or a digest (MD5, SHA-1, SHA-256, SHA-512).
_GAPS: Final = (0, 1, 2, 4, 8, 16, 20, 32, 64)
DIGESTS: Final = {16: "MD5", 20: "SHA-1", 32: "SHA-256", 64: "SHA-512"}
_WORD: Final = re.compile(rb"(?:(?:len|length|size)=)?([0-9]{1,10}|[0-9a-f]{2,8})(?:::|[:;|#\n,$ ])")
_NAME: Final = re.compile(rb"[\w(][\w ().+-]{0,120}\.[A-Za-z0-9]{1,8}")
_TIME: Final = re.compile(rb"[0-2]?[0-9]:[0-5][0-9]\b")
_OPEN_STEGO: Final = re.compile(rb"OPENSTEGO([\x01\x02])(.{4})[\x01-\x08](.)[NY]{2}", re.DOTALL)
# Size of the cipher's name, which is present from version 2 on.
_OPEN_STEGO_CIPHER: Final = 8
_MAGIC: Final = re.compile(rb"[A-Za-z][\x21-\x7e]{1,15}")
# The most bytes of flags and lengths between the length of a payload and a file name.
_MAX_FLAGS: Final = 6
# Distances from the first byte of a name's length to the name: lengths of 1 to 4 bytes, or flags and a cipher's name.
_NAME_GAPS: Final = (1, 2, 3, 4, 11)
_NAME_ENDS: Final = (b"\x00", b"\n", b"|", b":")
_MIN_NAME: Final = 3
# The most characters that noise after a payload is assumed to add to it; one more has a probability of 1 in 1000.
_CHANCE: Final = 8
# Bits of evidence that are deducted because a length was tried in many places, with gaps, in bits, and near an end.
_BITS_OF_PLACE, _BITS_OF_GAP, _BITS_OF_UNIT, _BITS_OF_END = 6, 4, 3, 4
_CHANCE_IN_DIGEST: Final = 3
_MIN_HEXADECIMAL: Final = 2
_PERIODS: Final = (1, 2, 3)
# Fewer bytes after a length are no evidence for it, unless it is wide and at the start.
_MIN_TEXT: Final = 4
_MIN_FAR_TEXT: Final = 8
_MIN_OPAQUE: Final = 16
# This much text up to the end of the bytes that were read is enough evidence for a length that goes beyond them.
_SEEN_TEXT: Final = 64


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a payload of `size` bytes that begins at `start`.

    Its length is at offset `at`, with this `width`, byte `order` and `unit`. `exact`: the payload ends exactly there.
    `is_text`: the payload is text. `has_name`: a file name precedes it. `evidence` is one of `FITS` to `SURE`.
    """

    start: int
    size: int
    at: int
    width: int
    order: Order
    unit: str
    exact: bool
    evidence: int
    is_text: bool = False
    has_name: bool = False

    @property
    def end(self) -> int:
        """The offset after the payload."""
        return self.start + self.size

    @property
    def gap(self) -> int:
        """The number of bytes between length and payload."""
        return self.start - self.at - self.width

    @property
    def bits(self) -> int:
        """About how many bits of evidence the length is, less a deduction for the other places that were tried."""
        bits = 8 * self.width
        bits -= _BITS_OF_PLACE * (self.at > 0) + _BITS_OF_GAP * (self.gap > 0 and not self.has_name)
        return bits - _BITS_OF_UNIT * (self.unit == BITS) - _BITS_OF_END * (not self.exact)

    def describe(self, data: bytes) -> str:
        """Describe the header."""
        before = data[: self.at]
        parts = ["AI42"] if before.startswith(ALPHA_PREFIX) else []
        before = before.removeprefix(ALPHA_PREFIX)
        name = _NAME.search(before)
        if name is None and (magic := _MAGIC.match(before)):
            parts.append(f"magic {magic.group().decode('ascii')!r}")
            before = before[magic.end() :]
        elif name:
            parts.append(f"name {name.group().decode('ascii', 'replace')!r}")
            before = before[: name.start()]
        if before.strip(b"\x00"):
            parts.append(f"{len(before)} {'byte' if len(before) == 1 else 'bytes'} {before[:16].hex()}")
        parts.append(self._describe_length())
        after = data[self.at + self.width : self.start]
        if after == ALPHA_PREFIX:
            parts.append("AI42")
        elif name := _NAME.search(after):
            parts.append(f"name {name.group().decode('ascii', 'replace')!r}")
        elif digest := DIGESTS.get(len(after)):
            parts.append(f"{len(after)} bytes, perhaps {digest}")
        elif after:
            parts.append(f"{len(after)} {'byte' if len(after) == 1 else 'bytes'} {after[:16].hex()}")
        return ", ".join(parts)

    def _describe_length(self) -> str:
        if self.unit == SPELLED:
            return f"length {self.size}, as text"
        order = f"{self.order}-endian"
        return f"length {self.size} in {self.width} bytes, {order}{', in bits' if self.unit == 'bits' else ''}"


def may_be_header(data: bytes, start: int, end: int) -> bool:
    """Whether the text from `start` to `end` may begin with a length: digits, or two bytes."""
    if _WORD.match(data, start):
        return True
    field, size = data[start : start + 2], end - start - 2
    return any(int.from_bytes(field, order) in (size, 8 * size) for order in ("big", "little"))


def is_name(text: bytes) -> bool:
    """Whether the text is exactly a file name."""
    return _NAME.fullmatch(text) is not None


def _read_open_stego(data: bytes) -> Header | None:
    """Read OpenStego's header: stamp, version, length, bits per sample, flags, cipher, file name."""
    fields = _OPEN_STEGO.match(data)
    if fields is None:
        return None
    version, size, name = (int.from_bytes(field, "little") for field in fields.groups())
    start = fields.end() + (_OPEN_STEGO_CIPHER if version > 1 else 0) + name
    return Header(start, size, fields.start(2), 4, "little", BYTES, exact=True, evidence=SURE, has_name=True)


def find_header(data: bytes, runs: TextRuns, total: int, *, is_whole: bool) -> Header | None:
    """Return the header that best explains the start of `data`, None if there is none.

    `data` is the first of `total` bytes in the carrier. `is_whole` says that the carrier ends where the payload does,
    as trailing bytes do, and not where the picture does.
    """
    own = _read_open_stego(data)
    if own and own.end <= total:
        return own
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
        self._last = min(self._first + (1 if leading > MAX_WORD else MAX_HEADER), len(data) - 2)
        reach = min(len(data), self._last + 8 + max(_GAPS) + MAX_NAME)
        self._text_ends = runs.list_ends(reach, _MIN_TEXT)
        self._kinds = {
            at: kind for at in range(self._first, reach) if (kind := recognise_kind(data, at, is_sought=True))
        }
        self._own_ends: dict[int, int | None] = {}
        names = [match.span() for match in _NAME.finditer(data, self._first, reach) if match.start() not in self._kinds]
        self._inside_names = {at for start, end in names for at in range(start + 1, end)}
        self._name_ends = dict(names)
        self._starts: dict[int, list[int]] = {}

    def list_headers(self) -> Iterator[Header]:
        """Yield every header whose length matches what follows it."""
        yield from self._list_spelled()
        for at in range(self._first, self._last):
            if at in self._inside_names and at > self._first:
                continue
            found = [header for width, order in _FIELDS for header in self._measure(at, width, order)]
            yield from found
            if any(header.exact and header.start == at + header.width > at + 2 for header in found):
                # No later header could have more evidence.
                return

    def _list_spelled(self) -> Iterator[Header]:
        """Yield headers whose length is written as text, in decimal or hexadecimal, in bytes or in bits."""
        match = _WORD.match(self._data, self._first)
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
        for unit, size in units:
            for start, left, has_name in self._list_starts(behind, size):
                header = self._judge(start, left, at, width, order, unit)
                if header:
                    yield replace(header, has_name=has_name)
            if sure and self._runs.find_end(behind) >= behind + size:
                yield Header(behind, size, at, width, order, unit, exact=False, evidence=WIDE, is_text=True)
            fills = self._fills(behind, size)
            if fills or (sure and size >= _MIN_OPAQUE):
                yield Header(behind, size, at, width, order, unit, exact=fills, evidence=FITS)

    def _list_starts(self, behind: int, size: int) -> Iterator[tuple[int, int, bool]]:
        """Yield possible starts of a payload of `size` bytes, its remaining size, and whether a name precedes it."""
        if self._data.startswith(ALPHA_PREFIX, behind):
            start = behind + len(ALPHA_PREFIX)
            yield from ((start, size, False), (start, size - len(ALPHA_PREFIX), False))
            return
        if behind not in self._starts:
            self._starts[behind] = sorted(set(self._list_name_ends(behind)))
        named = self._starts[behind]
        for end in named:
            yield from ((end, size, True), (end, size - (end - behind), True))
        if named:
            # What looks like a name may be the start of a text of exactly this length.
            if self._runs.find_end(behind) == behind + size:
                yield behind, size, False
            return
        for gap in _GAPS:
            start = behind + gap
            if (gap and start in self._inside_names) or (start not in self._text_ends and start not in self._kinds):
                continue
            # Text must begin after the gap, not before it; but the last bytes of a digest may look like text.
            if gap and start - self._runs.find_start(start) > (_CHANCE_IN_DIGEST if gap in DIGESTS else 0):
                continue
            yield start, size, False
            if gap in DIGESTS:
                yield start, size - gap, False

    def _list_name_ends(self, behind: int) -> Iterator[int]:
        """Yield the ends of file names that start soon after a length, given by a separator or by a length byte."""
        end = self._name_ends.get(behind, 0)
        if self._data[end : end + 1] in _NAME_ENDS and end:
            yield end + 1
        for at in range(behind, min(behind + _MAX_FLAGS, len(self._data))):
            size = self._data[at]
            if _MIN_NAME <= size <= MAX_NAME:
                starts = (at + gap for gap in _NAME_GAPS)
                yield from [start + size for start in starts if _NAME.fullmatch(self._data, start, start + size)]

    def _judge(self, start: int, size: int, at: int, width: int, order: Order, unit: str) -> Header | None:
        """Return the header if everything that its length covers is text, or a file of a known kind."""
        end = start + size
        is_plain = at == self._first and start == at + width
        if size < (_MIN_TEXT if is_plain else _MIN_FAR_TEXT) or end > self._total or start >= len(self._data):
            return None
        text_end = self._runs.find_end(start)
        if start in self._kinds:
            exact = text_end == end or self._fills(start, size) or self._find_own_end(start) == size
            return Header(start, size, at, width, order, unit, exact, SURE) if size >= _MIN_OPAQUE else None
        if text_end >= end and (text_end == end or self._is_chance(end, text_end)):
            is_name = unit != SPELLED and _NAME.fullmatch(self._data, start, end)
            evidence = NAMES if is_name else SURE
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

    def _is_chance(self, end: int, text_end: int) -> bool:
        """Whether the text after the payload is only noise, or the pattern of a plain picture."""
        if text_end - end <= _CHANCE:
            return True
        # From here on, a repeating pattern.
        rest = self._data[end - 1 : text_end]
        return any(rest[1:-period] == rest[1 + period :] and rest[0] != rest[period] for period in _PERIODS)
