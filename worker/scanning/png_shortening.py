"""Shortens a PNG to its first rows, while zlib-ng decompresses and checks all of it.

Decompression is most of the work of decoding a PNG. Pillow's wheels use the system's zlib, which takes four times as
long as zlib-ng, and Pillow decodes all rows, though only the first ones can be carriers. In a shortened PNG, the
first rows are stored without compression.

Source: PNG third edition, sections 5 (chunks), 7.2 (scan lines) and 10 (compression).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zlib_ng import zlib_ng

from worker.v4.containers import PNG_SIGNATURE

_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""For each colour type, the samples of a pixel."""
_LAST_FILTER: Final = 4
_HEADER_END: Final = 33
_MAX_CHUNKS: Final = 1000
# Compressed and decompressed bytes that are handled at once.
_SLICE_BYTES: Final = 2**16
_PIECE_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Size in pixels, and bytes of a scan line with its filter, of a PNG that is not interlaced."""

    width: int
    height: int
    line_bytes: int

    def count_bytes(self, rows: int) -> int:
        """Return how many bytes of memory `shorten` needs."""
        return 2 * rows * self.line_bytes

    def shorten(self, data: bytes, rows: int) -> bytes | None:
        """Return a PNG with the first `rows` rows of the picture, and otherwise the same chunks.

        Returns None if the PNG is animated, or if its rows are not complete and correct.
        """
        found = _find_compressed(data)
        if found is None:
            return None
        start, end, compressed = found
        lines = _decompress(compressed, self, rows)
        if lines is None:
            return None
        short = _write_chunk(b"IHDR", data[16:20] + struct.pack(">I", rows) + data[24:29])
        stored = _write_chunk(b"IDAT", zlib_ng.compress(lines, 0))
        return b"".join([PNG_SIGNATURE, short, data[_HEADER_END:start], stored, data[end:]])


def read_png_header(data: bytes) -> PngHeader | None:
    """Return the header of a PNG; None if it is interlaced or wrong, or if these bytes are no PNG."""
    if len(data) < _HEADER_END or not data.startswith(PNG_SIGNATURE + b"\0\0\0\x0dIHDR"):
        return None
    width, height, depth, colour, _, _, interlaced, checksum = struct.unpack_from(">IIBBBBBI", data, 16)
    if interlaced or colour not in _SAMPLES or checksum != zlib_ng.crc32(data[12:29]):
        return None
    return PngHeader(width, height, 1 + (width * depth * _SAMPLES[colour] + 7) // 8)


def _find_compressed(data: bytes) -> tuple[int, int, memoryview] | None:
    """Return start and end of the consecutive IDAT chunks, and their content joined; None if there are none."""
    view = memoryview(data)
    position, start = _HEADER_END, 0
    parts = []
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(view[position : position + 4], "big"), bytes(view[position + 4 : position + 8])
        if kind == b"IDAT":
            start = start or position
            parts.append(view[position + 8 : position + 8 + length])
        elif start:
            return start, position, parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
        elif kind in (b"acTL", b"IEND", b""):
            return None
        position += 12 + length
    return None


def _decompress(compressed: memoryview, header: PngHeader, rows: int) -> bytes | None:
    """Return the first scan lines; None unless all are there, with filters that exist and the right checksum."""
    kept, missing, size = [], header.line_bytes * rows, 0
    stream = zlib_ng.decompressobj()
    try:
        for piece in _decompress_pieces(compressed, stream):
            filters = piece[-size % header.line_bytes :: header.line_bytes]
            size += len(piece)
            if size > header.line_bytes * header.height or max(filters, default=0) > _LAST_FILTER:
                return None
            if missing:
                kept.append(piece[:missing])
                missing -= len(kept[-1])
    except zlib_ng.error:  # type: ignore[misc]  # declared as an instance
        return None
    return b"".join(kept) if stream.eof and size == header.line_bytes * header.height else None


def _decompress_pieces(compressed: memoryview, stream: "zlib_ng._Decompress") -> Iterator[bytes]:
    for start in range(0, len(compressed), _SLICE_BYTES):
        waiting: bytes | memoryview = compressed[start : start + _SLICE_BYTES]
        while waiting:
            yield stream.decompress(waiting, _PIECE_BYTES)
            waiting = stream.unconsumed_tail
        if stream.eof:
            return
    # Some of the last piece may not have fitted.
    while piece := stream.decompress(b"", _PIECE_BYTES):
        yield piece


def _write_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib_ng.crc32(content, zlib_ng.crc32(kind))
    return b"".join([struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)])
