"""Lists the parts of an image file other than its picture: JPEG segments, PNG and WebP chunks, GIF extensions.

Parsing takes time linear in the file's size and stops where the file violates its format. Sources: as in `containers`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.v4.containers import MAX_STEPS, count_colour_table_bytes, survey

# Chunks that hold the picture, or nothing written by people.
_PNG_PICTURE: Final = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"fdAT", b"fcTL"))
_WEBP_PICTURE: Final = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"))
_GIF_LABELS: Final = {0x01: "plain text", 0xFE: "comment", 0xFF: "application"}
_GIF_CONTROL: Final = 0xF9


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file and its name in the format, such as `COM`, `APP1`, `tEXt` or `comment`."""

    name: str
    data: bytes


def list_segments(data: bytes) -> Iterator[Segment]:
    """Yield the parts of a file up to the picture's end, in order, except those of the picture itself."""
    layout = survey(data)
    walks = {"jpeg": _walk_jpeg, "png": _walk_png, "gif": _walk_gif, "webp": _walk_webp}
    if layout.container in walks:
        yield from walks[layout.container](data, layout.end)


def _walk_jpeg(data: bytes, end: int) -> Iterator[Segment]:
    position = 2
    for _ in range(MAX_STEPS):
        if position + 4 > end or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        # The picture starts at the first scan.
        if marker in (0xD9, 0xDA):
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2:
            return
        name = "COM" if marker == 0xFE else f"APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else None
        if name:
            yield Segment(name, data[position + 4 : min(end, position + 2 + length)])
        position += 2 + length


def _walk_png(data: bytes, end: int) -> Iterator[Segment]:
    position = 8
    for _ in range(MAX_STEPS):
        if position + 12 > end:
            return
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind not in _PNG_PICTURE:
            yield Segment(kind.decode("latin-1"), data[position + 8 : min(end, position + 8 + length)])
        position += 12 + length


def _walk_gif(data: bytes, end: int) -> Iterator[Segment]:
    position = 13 + count_colour_table_bytes(data[10]) if end >= 13 else end
    for _ in range(MAX_STEPS):
        if position + 2 > end or data[position] not in (0x21, 0x2C):
            return
        label = None
        if data[position] == 0x21:
            label, position = data[position + 1], position + 2
        elif position + 10 <= end:
            position += 11 + count_colour_table_bytes(data[position + 9])
        else:
            return
        pieces = []
        for _ in range(MAX_STEPS):
            length = data[position] if position < end else 0
            if label is not None:
                pieces.append(data[position + 1 : min(end, position + 1 + length)])
            position += 1 + length
            if length == 0:
                break
        if label is not None and label != _GIF_CONTROL:
            yield Segment(_GIF_LABELS.get(label, f"extension {label:02x}"), b"".join(pieces))


def _walk_webp(data: bytes, end: int) -> Iterator[Segment]:
    position = 12
    for _ in range(MAX_STEPS):
        if position + 8 > end:
            return
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        kind = data[position : position + 4]
        if kind not in _WEBP_PICTURE:
            yield Segment(kind.decode("latin-1"), data[position + 8 : min(end, position + 8 + length)])
        position += 8 + length + (length & 1)
