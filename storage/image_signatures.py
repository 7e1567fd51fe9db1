"""What the bytes of an image begin with, of each format that is judged."""

from typing import Final

# As many as are looked at.
HEAD_BYTES: Final = 16

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF87a", "GIF"), (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
)  # fmt: skip


def find_format(head: bytes) -> str | None:
    """Return the format that is judged whose files begin so, by its name among `ImageFormat`, or None."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters are a word's beginning too; four reserved bytes of zero are not.
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)
