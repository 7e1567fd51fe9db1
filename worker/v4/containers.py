"""Finds the end of the picture and the EXIF block in an image file, from the structure of its container.

Parsing takes time linear in the file's size and never raises. A file that violates its format, or takes more than
`MAX_STEPS`, has no known end, and then no bytes count as trailing.

Sources: ITU T.81 annex B (JPEG markers), PNG third edition section 5 (chunks), GIF89a (blocks), RFC 9649 (WebP in
RIFF), the BITMAPFILEHEADER and BITMAPINFOHEADER structures (BMP), CIPA DC-008 (EXIF).
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

MAX_STEPS: Final = 1_000_000
"""The most markers, chunks or blocks that are parsed in one file; with more, its end counts as unknown."""

CONTAINERS: Final = ("other", "jpeg", "png", "gif", "webp", "bmp", "tiff")

EXIF_HEADER: Final = b"Exif\x00\x00"
"""The bytes before the TIFF structure of an EXIF block in a JPEG segment."""
JPEG_START: Final = b"\xff\xd8\xff"
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_EXIF_PROFILES: Final = (b"Raw profile type exif\x00", b"Raw profile type APP1\x00")
# Markers of frame headers: all of C0 to CF but those of tables, of arithmetic conditioning, and a reserved one.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Inside a scan, FF 00 is a stuffed byte, FF D0..D7 a restart and FF FF fill; any other marker ends the scan.
_SCAN_END: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class Layout:
    """Parts of an image file, as offsets into its bytes.

    `container` is one of `CONTAINERS`. `end` is the offset of the first byte after the picture (the file's size if that
    is unknown). `exif_start` and `exif_end` delimit the TIFF structure that holds the EXIF data; both are 0
    without one. `scans` is the number of scans in a JPEG. `profile_start` and `profile_end` delimit the text of a PNG,
    keyword included, that holds EXIF data as digits; both are 0 without one. `ends_in_scan` is whether a JPEG's end
    marker follows a scan; `frame` is the offset of the marker of its frame header, 0 without one before the first scan.
    """

    container: str
    end: int
    exif_start: int = 0
    exif_end: int = 0
    scans: int = 0
    profile_start: int = 0
    profile_end: int = 0
    ends_in_scan: bool = False
    frame: int = 0


def survey(data: bytes) -> Layout:
    """Find the end of the picture and the EXIF block of a whole file."""
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Layout("gif", _gif_end(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(b"BM"):
        return Layout("bmp", _bmp_end(data))
    if data.startswith((b"II*\x00", b"MM\x00*")):
        return Layout("tiff", len(data), 0, len(data))
    return Layout("other", len(data))


def find_trailing(data: bytes) -> memoryview:
    """Return the bytes after the picture's end; empty if there are none or the end is unknown."""
    return memoryview(data)[survey(data).end :]


def _jpeg(data: bytes) -> Layout:
    size = len(data)
    position, exif, scans, in_scan, frame = 2, (0, 0), 0, False, 0
    for _ in range(MAX_STEPS):
        while position + 1 < size and data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        if position + 4 > size or data[position] != 0xFF:
            if position + 2 <= size and data[position : position + 2] == b"\xff\xd9":
                return Layout("jpeg", position + 2, *exif, scans, ends_in_scan=in_scan, frame=frame)
            break
        marker = data[position + 1]
        if marker == 0xD9:
            return Layout("jpeg", position + 2, *exif, scans, ends_in_scan=in_scan, frame=frame)
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2:
            break
        segment_end = position + 2 + length
        if marker == 0xE1 and exif == (0, 0) and data.startswith(EXIF_HEADER, position + 4):
            exif = (position + 10, min(segment_end, size))
        if not frame and not scans and marker in _FRAMES:
            frame = position
        position, in_scan = segment_end, marker == 0xDA
        if in_scan:
            scans += 1
            found = _SCAN_END.search(data, position)
            if found is None:
                break
            position = found.start()
    return Layout("jpeg", size, *exif, scans)


def _png(data: bytes) -> Layout:
    size = len(data)
    position, exif, profile = 8, (0, 0), (0, 0)
    for _ in range(MAX_STEPS):
        if position + 12 > size:
            break
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        chunk_end = position + 12 + length
        if kind == b"IEND":
            return Layout("png", min(chunk_end, size), *exif, 0, *profile)
        if kind == b"eXIf":
            exif = (position + 8, min(position + 8 + length, size))
        elif kind in (b"tEXt", b"zTXt") and data.startswith(_EXIF_PROFILES, position + 8):
            profile = (position + 8, min(position + 8 + length, size))
        position = chunk_end
    return Layout("png", size, *exif, 0, *profile)


def _gif_end(data: bytes) -> int:
    size = len(data)
    if size < 13:
        return size
    position = 13 + count_colour_table_bytes(data[10])
    for _ in range(MAX_STEPS):
        if position >= size:
            return size
        kind = data[position]
        if kind == 0x3B:
            return position + 1
        if kind == 0x21:
            position += 2
        elif kind == 0x2C and position + 10 <= size:
            position += 11 + count_colour_table_bytes(data[position + 9])
        else:
            return size
        # The sub-blocks of one block: a length byte and that many bytes, until a length of zero.
        for _ in range(MAX_STEPS):
            if position >= size:
                return size
            length = data[position]
            position += 1 + length
            if length == 0:
                break
    return size


def count_colour_table_bytes(flags: int) -> int:
    """Return the size of a GIF's colour table in bytes, from the flags before it; 0 without one."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Layout:
    size = len(data)
    riff_size = int.from_bytes(data[4:8], "little")
    end = min(8 + riff_size + (riff_size & 1), size)
    position, exif = 12, (0, 0)
    for _ in range(MAX_STEPS):
        if position + 8 > end:
            break
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"EXIF":
            start = position + 8
            # Some writers keep the JPEG marker's header before the TIFF structure.
            if data.startswith(EXIF_HEADER, start):
                start += len(EXIF_HEADER)
            exif = (start, min(position + 8 + length, end))
            break
        position += 8 + length + (length & 1)
    return Layout("webp", end, *exif)


def _bmp_end(data: bytes) -> int:
    size = len(data)
    if size < 54:
        return size
    file_size, pixels, header, width, height, _, depth, compression, image_size = struct.unpack_from(
        "<I4xIIiiHHII", data, 2
    )
    if header < 40:
        return size
    if compression in (0, 3, 6):
        image_size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    # Some writers store a wrong file size, such as 0; the pixels are certainly part of the picture.
    end = max(file_size, pixels + image_size)
    return int(end) if end <= size else size
