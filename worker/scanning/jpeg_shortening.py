"""Shortens a JPEG to its first rows by stating a smaller height.

Decoders stop after the rows that the header states, and skip what follows in each scan. Entropy-coded data without
markers cannot make a decoder fail, so rows that are left out need no other check. Decoders read all scans of a
progressive JPEG before they return the first row, and so check what is between them.

Source: ITU T.81, annex B.
"""

import struct
from dataclasses import dataclass
from typing import Final

from worker.v4.containers import survey

_START: Final = b"\xff\xd8\xff"
_MAX_SEGMENTS: Final = 1000
# Decoders interpolate a row's colours with those of the rows below it.
_MARGIN: Final = 16


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Size in pixels, where the height is stated in the file, and whether the JPEG is progressive."""

    width: int
    height: int
    height_at: int
    is_progressive: bool

    def count_bytes(self, rows: int) -> int:
        """Return how many bytes of memory `shorten` needs."""
        del rows
        return 0

    def shorten(self, data: bytes, rows: int) -> bytes | None:
        """Return a JPEG with the first `rows` rows and some more.

        Returns None if it would not be shorter, has no end, or has anything but an end after its only scan.
        """
        layout = survey(data)
        is_whole = layout.ends_in_scan and (layout.scans == 1 or self.is_progressive)
        if not is_whole or rows + _MARGIN >= self.height:
            return None
        return data[: self.height_at] + struct.pack(">H", rows + _MARGIN) + data[self.height_at + 2 :]


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Return the header of a JPEG; None if these bytes are no JPEG, or one that does not state its height."""
    if not data.startswith(_START):
        return None
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker = data[position : position + 2]
        if len(marker) < 2 or marker[0] != 0xFF or not 0xC0 <= marker[1] <= 0xFE or 0xD0 <= marker[1] <= 0xDA:
            return None
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            if position + 9 > len(data):
                return None
            height, width = struct.unpack_from(">HH", data, position + 5)
            return JpegHeader(width, height, position + 5, marker[1] == 0xC2) if width and height else None
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
