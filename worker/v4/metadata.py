"""Lists the metadata in an image file: comments, XMP, PNG text, EXIF, IPTC, ICC, thumbnails."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import ExifTags

from worker.v4.containers import EXIF_HEADER, survey
from worker.v4.exif import CHARSETS, USER_COMMENT, list_values, read_comment_text
from worker.v4.exif_blocks import find_exif_block
from worker.v4.segments import Segment, list_segments

MAX_TEXT_BYTES: Final = 64 * 2**10
"""The most bytes of one text, after decompression."""

_XMP: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_LONG_XMP: Final = b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP: Final = b"Photoshop 3.0\x00"
_ICC: Final = b"ICC_PROFILE\x00"
_PNG_XMP: Final = b"XML:com.adobe.xmp"
_IPTC_RESOURCE: Final = 0x0404
_IPTC_NAMES: Final = {
    5: "object name", 15: "category", 25: "keyword", 40: "instructions", 55: "date", 80: "by-line", 85: "by-line title",
    90: "city", 95: "state", 101: "country", 105: "headline", 110: "credit", 115: "source", 116: "copyright",
    118: "contact", 120: "caption", 122: "caption writer",
}  # fmt: skip
# Tags that Windows writes in UTF-16.
_WINDOWS_TAGS: Final = range(0x9C9B, 0x9CA0)
_THUMBNAIL: Final = (0x0201, 0x0202)
_ICC_TEXTS: Final = {b"desc": "description", b"cprt": "copyright", b"dmnd": "maker", b"dmdd": "device"}
_MAX_ITEMS: Final = 1000


def list_metadata(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of all metadata. Texts of a known encoding are converted to UTF-8.

    The file never makes this raise.
    """
    for segment in list_segments(data):
        yield from _read_segment(segment)
    yield from _list_exif(find_exif_block(data, survey(data)))


def _read_segment(segment: Segment) -> Iterator[tuple[str, bytes]]:
    name, body = segment.name, segment.data
    if name in ("tEXt", "zTXt", "iTXt"):
        yield _read_png_text(segment)
    elif name == "iCCP":
        title, _, packed = body.partition(b"\x00")
        yield "ICC name", title
        yield from _list_icc(_unpack(packed[1:]))
    elif name == "ICCP":
        yield from _list_icc(body)
    elif name == "APP2" and body.startswith(_ICC):
        yield from _list_icc(body[len(_ICC) + 2 :])
    elif name == "APP1" and body.startswith(_XMP):
        yield "XMP", body[len(_XMP) :]
    elif name == "APP1" and body.startswith(_LONG_XMP):
        yield "XMP, extended", body[len(_LONG_XMP) + 40 :]
    elif name == "XMP ":
        yield "XMP", body
    elif name == "APP13" and body.startswith(_PHOTOSHOP):
        yield from _list_iptc(body[len(_PHOTOSHOP) :])
    elif name == "application" and body.startswith(b"XMP DataXMP"):
        yield "XMP", body[11:]
    elif name in ("COM", "comment"):
        yield "comment", body
    elif not (body.startswith(EXIF_HEADER) or name in ("eXIf", "EXIF")):
        yield name, body


def _read_png_text(segment: Segment) -> tuple[str, bytes]:
    keyword, _, rest = segment.data.partition(b"\x00")
    name = f"{segment.name} {keyword.decode('latin-1')!r}"
    if segment.name == "tEXt":
        # Latin-1 by the standard, but most writers use UTF-8.
        return name, rest
    if segment.name == "zTXt":
        return name, _unpack(rest[1:])
    packed, rest = rest[:1] == b"\x01", rest[2:]
    text = rest.split(b"\x00", 2)[2] if rest.count(b"\x00") >= 2 else rest
    return ("XMP" if keyword == _PNG_XMP else name), _unpack(text) if packed else text


def _unpack(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES)
    except zlib.error:
        return packed


def _list_iptc(body: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    for _ in range(_MAX_ITEMS):
        if body[position : position + 4] != b"8BIM" or position + 7 > len(body):
            return
        (resource,) = struct.unpack_from(">H", body, position + 4)
        position += 6 + (body[position + 6] + 2) // 2 * 2
        if position + 4 > len(body):
            return
        (size,) = struct.unpack_from(">I", body, position)
        if resource == _IPTC_RESOURCE:
            yield from _list_records(body[position + 4 : position + 4 + size])
        position += 4 + (size + 1) // 2 * 2


def _list_records(body: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    for _ in range(_MAX_ITEMS):
        if position + 5 > len(body) or body[position] != 0x1C:
            return
        record, number, size = struct.unpack_from(">BBH", body, position + 1)
        if record == 2 and number:
            yield f"IPTC {_IPTC_NAMES.get(number, f'2:{number}')}", body[position + 5 : position + 5 + size]
        position += 5 + size


def _list_icc(profile: bytes) -> Iterator[tuple[str, bytes]]:
    if len(profile) < 132:
        return
    (count,) = struct.unpack_from(">I", profile, 128)
    for number in range(min(count, 100, (len(profile) - 132) // 12)):
        tag, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        value = profile[offset : offset + min(size, MAX_TEXT_BYTES)]
        if tag in _ICC_TEXTS and len(value) > 12:
            yield f"ICC {_ICC_TEXTS[tag]}", _read_icc_text(value)


def _read_icc_text(value: bytes) -> bytes:
    if value.startswith(b"mluc") and len(value) >= 28:
        size, offset = struct.unpack_from(">II", value, 20)
        return value[offset : offset + size].decode("utf-16-be", "replace").encode()
    return value[12 if value.startswith(b"desc") else 8 :].split(b"\x00", 1)[0]


def _list_exif(block: memoryview) -> Iterator[tuple[str, bytes]]:
    thumbnail: dict[int, int] = {}
    for tag, value, is_text in list_values(block):
        if tag == USER_COMMENT:
            yield "EXIF UserComment", read_comment_text(block, MAX_TEXT_BYTES)
        elif tag in _WINDOWS_TAGS:
            text = bytes(value[:MAX_TEXT_BYTES]).decode("utf-16-le", "replace").rstrip("\x00").encode()
            yield f"EXIF {_name_tag(tag)}", text
        elif tag in _THUMBNAIL and len(value) == 4:
            thumbnail[tag] = int.from_bytes(value, "little" if block[0] == ord("I") else "big")
        elif is_text:
            text = bytes(value[:MAX_TEXT_BYTES])
            yield f"EXIF {_name_tag(tag)}", next((text[8:] for start in CHARSETS[:3] if text[:8] == start), text)
    if len(thumbnail) == len(_THUMBNAIL):
        start, size = (thumbnail[tag] for tag in _THUMBNAIL)
        yield "thumbnail", bytes(block[start : start + size])


def _name_tag(tag: int) -> str:
    return ExifTags.TAGS.get(tag, f"{tag:04x}")
