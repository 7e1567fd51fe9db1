"""Signatures of the image formats that are judged: their first bytes."""

from typing import Final

# The number of bytes needed.
HEAD_BYTES: Final = 16

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF87a", "GIF"), (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
)  # fmt: skip


def find_format(head: bytes) -> str | None:
    """Return the format in `ImageFormat` of a file that begins with these bytes, or None."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    # The two letters may also begin a word; four reserved zero bytes do not.
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)
