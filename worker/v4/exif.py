"""Reads the UserComment of an EXIF block from its TIFF structure (TIFF 6.0 section 2, CIPA DC-008 4.6.5)."""

import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

USER_COMMENT: Final = 0x9286
EXIF_IFD: Final = 0x8769
_GPS_IFD: Final = 0x8825
# ASCII, undefined, and UTF-8 of EXIF 3.
_TEXT_TYPES: Final = (2, 7, 129)
_TYPE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8)
_MAX_ENTRIES: Final = 4096
# How many bytes of a UTF-16 text decide its byte order.
_JUDGED: Final = 256

CHARSETS: Final = (b"ASCII\x00\x00\x00", b"UNICODE\x00", b"JIS\x00\x00\x00\x00\x00", b"\x00" * 8)
"""The 8-byte charset headers that may precede a UserComment's text."""


def find_user_comment(block: memoryview) -> memoryview:
    """Return the raw UserComment, charset header included, as a view of `block`; empty without one or if malformed.

    Searches the Exif directory, and the main one, where some writers put it. Never raises.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        return block[:0]
    main = _entries(block, order, *struct.unpack_from(order + "I", block, 4))
    found = block[:0]
    for tag, kind, count, at in main:
        if tag == EXIF_IFD:
            (offset,) = struct.unpack_from(order + "I", block, at)
            for inner_tag, inner_kind, inner_count, inner_at in _entries(block, order, offset):
                if inner_tag == USER_COMMENT:
                    return _value(block, order, inner_kind, inner_count, inner_at)
        elif tag == USER_COMMENT:
            found = _value(block, order, kind, count, at)
    return found


def list_values(block: memoryview) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield tag, value and whether it may be text (ASCII, UTF-8 or undefined bytes), directory by directory.

    Reads the main, Exif, GPS and thumbnail directories. Never raises.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        return
    (offset,) = struct.unpack_from(order + "I", block, 4)
    waiting = [offset]
    for number, start in enumerate(waiting):
        entries = _entries(block, order, start)
        for tag, kind, count, at in entries:
            if tag in (EXIF_IFD, _GPS_IFD) and number == 0:
                waiting.append(struct.unpack_from(order + "I", block, at)[0])
            elif len(value := _value(block, order, kind, count, at)) > 0:
                yield tag, value, kind in _TEXT_TYPES
        behind = start + 2 + 12 * len(entries)
        if number == 0 and behind + 4 <= len(block):
            waiting.append(struct.unpack_from(order + "I", block, behind)[0])


def read_comment_text(block: memoryview, limit: int) -> bytes:
    """Return the UserComment's text without its charset header. UTF-16 is converted to UTF-8, all else is unchanged.

    At most `limit` bytes, or UTF-16 units, of the comment are read.
    """
    comment = find_user_comment(block)
    header = bytes(comment[:8])
    if header not in CHARSETS:
        return bytes(comment[:limit])
    if header != b"UNICODE\x00":
        return bytes(comment[8 : 8 + limit])
    return _utf16(bytes(comment[8 : 8 + 2 * limit]), bytes(block[:2]))


def _utf16(body: bytes, byte_order: bytes) -> bytes:
    """Convert UTF-16 to UTF-8; writers disagree on the byte order, so the more likely one is used.

    The upper bytes of characters repeat, as a text has few scripts; the lower ones vary. If both do so equally, the
    order in which more letters are of one script is used, or the EXIF block's own. Some writers store UTF-8 anyway.
    """
    text = body.rstrip(b"\x00")
    if b"\x00" not in text and _is_utf8(text):
        return text
    even = body[: len(body) // 2 * 2]
    if even.startswith((b"\xff\xfe", b"\xfe\xff")):
        return even.decode("utf-16", "replace").encode()
    orders = ("utf-16-le", "utf-16-be") if byte_order == b"II" else ("utf-16-be", "utf-16-le")
    upper = {"utf-16-le": even[1:_JUDGED:2], "utf-16-be": even[:_JUDGED:2]}
    readings = {order: even.decode(order, "replace") for order in orders}
    best = max(orders, key=lambda order: (_count_repeats(upper[order]), _likelihood(readings[order])))
    return readings[best].encode()


def _count_repeats(values: bytes) -> int:
    """Return how many pairs of equal bytes there are, times two."""
    return sum(count * (count - 1) for count in Counter(values).values())


def _likelihood(text: str) -> tuple[int, int]:
    """Count the ASCII characters, and the letters of the most common script, among the first 64 characters."""
    scripts = Counter(unicodedata.name(letter, "").split(" ", 1)[0] for letter in text[:64] if letter.isalpha())
    return sum(character.isascii() for character in text[:64]), max(scripts.values(), default=0)


def _is_utf8(body: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters: in UTF-16, some alphabets' upper bytes are such."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return not any(character < " " and character not in "\t\n\r" for character in text)


def _entries(block: memoryview, order: str, offset: int) -> list[tuple[int, int, int, int]]:
    """List tag, type, count and the value field's offset of each entry of the directory at `offset`."""
    if offset + 2 > len(block):
        return []
    (count,) = struct.unpack_from(order + "H", block, offset)
    whole = min(count, _MAX_ENTRIES, (len(block) - offset - 2) // 12)
    first = offset + 2
    return [
        (*struct.unpack_from(order + "HHI", block, first + 12 * number), first + 12 * number + 8)
        for number in range(whole)
    ]


def _value(block: memoryview, order: str, kind: int, count: int, at: int) -> memoryview:
    size = count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 1)
    if size > 4:
        (at,) = struct.unpack_from(order + "I", block, at)
    return block[at : at + size]
