"""Checks whether an image file that a decoder refused is truncated, by the end marker or size of its format.

Sources: PNG third edition section 5, ITU T.81 annex B, GIF89a, RFC 9649, BITMAPFILEHEADER, TIFF 6.0 section 2.
"""

import struct


def ends_early(data: bytes) -> bool:
    """Whether the end that the format requires is missing; False for an unsupported format."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0").endswith(b";")
    if data.startswith((b"RIFF", b"BM")):
        at, more = (4, 8) if data.startswith(b"RIFF") else (2, 0)
        return len(data) < at + 4 or int.from_bytes(data[at : at + 4], "little") + more > len(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff_ends_early(data)
    return False


def _tiff_ends_early(data: bytes) -> bool:
    order = "<" if data.startswith(b"II") else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, directory)
    except struct.error:
        return True
    return bool(directory + 2 + 12 * entries + 4 > len(data))
