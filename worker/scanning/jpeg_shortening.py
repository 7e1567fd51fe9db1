"""Shortens a JPEG to its first rows by stating a smaller height.

Decoders stop after the rows that the header states, and skip what follows in each scan. Entropy-coded data without
markers cannot make a decoder fail, so rows that are left out need no other check. Decoders read all scans of a
progressive JPEG before they return the first row, and so check what is between them.

Source: ITU T.81, annex B.
"""

import struct
from dataclasses import dataclass
from typing import Final

from worker.v4.containers import JPEG_START, survey

_PROGRESSIVE: Final = 0xC2
# Decoders interpolate a row's colours with those of the rows below it.
_MARGIN: Final = 16


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Size in pixels, and where the height is stated in the file."""

    width: int
    height: int
    height_at: int

    def count_bytes(self, rows: int) -> int:
        """Return how many bytes of memory `shorten` needs."""
        del rows
        return 0

    def shorten(self, data: bytes, rows: int) -> bytes | None:
        """Return a JPEG with the first `rows` rows and some more, None if it would not be shorter."""
        if rows + _MARGIN >= self.height:
            return None
        return data[: self.height_at] + struct.pack(">H", rows + _MARGIN) + data[self.height_at + 2 :]


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Return the header of a JPEG that may be shortened, None for other files.

    Those are JPEGs without an end, with anything but an end after their only scan, or that do not state their height.
    """
    if not data.startswith(JPEG_START):
        return None
    layout = survey(data)
    if not layout.frame or not layout.ends_in_scan:
        return None
    if layout.scans > 1 and data[layout.frame + 1] != _PROGRESSIVE:
        return None
    height, width = struct.unpack_from(">HH", data, layout.frame + 5)
    return JpegHeader(width, height, layout.frame + 5) if width and height else None
