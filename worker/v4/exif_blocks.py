"""Returns the EXIF block of an image file, also where a PNG has it as text.

Before PNG had a chunk for EXIF, ImageMagick put profiles into text chunks, in hexadecimal digits. exiv2 and GIMP did
the same for years.
"""

import zlib
from typing import Final

from worker.v4.containers import EXIF_HEADER, Layout

MAX_BYTES: Final = 2**20
"""The most bytes of an EXIF block that is stored as text."""
_LINES: Final = 4


def find_exif_block(data: bytes, layout: Layout) -> memoryview:
    """Return the TIFF structure that holds a file's EXIF data; empty without one. Never raises."""
    if layout.exif_end or not layout.profile_end:
        return memoryview(data)[layout.exif_start : layout.exif_end]
    # Keyword, zero byte; and if the text is compressed, the method, which is zero too.
    end = min(layout.profile_end, layout.profile_start + 2 * MAX_BYTES)
    _, _, text = data[layout.profile_start : end].partition(b"\x00")
    if text.startswith(b"\x00"):
        try:
            text = zlib.decompressobj().decompress(text[1:], 2 * MAX_BYTES)
        except zlib.error:
            return memoryview(b"")
    # An empty line, the profile's name, its size, and the digits in lines.
    lines = text.split(b"\n", _LINES - 1)
    try:
        block = bytes.fromhex(lines[-1].decode("ascii")) if len(lines) == _LINES else b""
    except ValueError:
        return memoryview(b"")
    return memoryview(block.removeprefix(EXIF_HEADER))
