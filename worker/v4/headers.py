"""The header that tools write before a payload: its length, and perhaps magic, version, file name and digest."""

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from worker.v4.file_names import find_name

ALPHA_PREFIX: Final = b"AI42"
"""The prefix of every `alpha` payload, by the specification."""
MAX_WORD: Final = 24
"""The most characters of text that may belong to a header, such as a magic; longer text is a payload."""

FITS, NAMES, WIDE, SURE = range(4)
"""The evidence for a length, in increasing order: it fits into the carrier; a file name has this length; it is wide, at
the start, and at least that much text follows; a payload ends exactly where it says."""

BYTES, BITS, SPELLED = "bytes", "bits", "spelled"
"""How a length is written: a number of bytes, a number of bits, or digits as text."""

Order: TypeAlias = Literal["big", "little"]

DIGESTS: Final = {16: "MD5", 20: "SHA-1", 32: "SHA-256", 64: "SHA-512"}
FIELDS: Final[tuple[tuple[int, Order], ...]] = (
    (8, "big"), (8, "little"), (4, "big"), (4, "little"), (3, "big"), (3, "little"), (2, "big"), (2, "little"),
)  # fmt: skip
"""Widths and byte orders of lengths. Wide ones come first, since a narrow one may be the end of a wide one."""
SPELLED_LENGTH: Final = re.compile(rb"(?:(?:len|length|size)=)?([0-9]{1,10}|[0-9a-f]{2,8})(?:::|[:;|#\n,$ ])")
"""Matches a length that is written as text, in decimal or hexadecimal digits, which are the group."""
_MAGIC: Final = re.compile(rb"[A-Za-z][\x21-\x7e]{1,15}")
# Bits of evidence that are deducted because a length was tried in many places, with gaps, in bits, and near an end.
_BITS_OF_PLACE, _BITS_OF_GAP, _BITS_OF_UNIT, _BITS_OF_END = 6, 4, 3, 4


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
        name = find_name(before)
        if name is None and (magic := _MAGIC.match(before)):
            parts.append(f"magic {magic.group().decode('ascii')!r}")
            before = before[magic.end() :]
        elif name:
            parts.append(_describe_name(name[1]))
            before = before[: name[0]]
        if before.strip(b"\x00"):
            parts.append(f"{len(before)} {'byte' if len(before) == 1 else 'bytes'} {before[:16].hex()}")
        parts.append(self._describe_length())
        after = data[self.at + self.width : self.start]
        if after == ALPHA_PREFIX:
            parts.append("AI42")
        elif name := find_name(after):
            parts.append(_describe_name(name[1]))
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
    if SPELLED_LENGTH.match(data, start):
        return True
    field, size = data[start : start + 2], end - start - 2
    return any(int.from_bytes(field, order) in (size, 8 * size) for order in ("big", "little"))


def _describe_name(name: bytes) -> str:
    return f"name {name.decode('ascii', 'replace')!r}"
