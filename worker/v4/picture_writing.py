"""Writes changed pixels back into their file; its format, metadata and everything else stay unchanged.

PNG and GIF keep every chunk and block except those of the picture, BMP every byte except its samples; WebP and TIFF
are written again, losslessly, with their metadata.
"""

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from worker.v4.containers import PNG_SIGNATURE, Layout, count_colour_table_bytes
from worker.v4.exif_writing import write_png_chunk


class PictureError(ValueError):
    """The pixels of this file cannot be changed without loss; the message says why."""


def replace_picture(data: bytes, layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    """Return the file with the pixels of `changed`: `cover` with other low bits, perhaps with alpha or colours added.

    Raises PictureError. Callers must decode the result and compare it: unusual files may not show exactly `changed`.
    """
    check_lossless(layout)
    return _WRITERS[layout.container](data, layout, cover, changed)


def check_lossless(layout: Layout) -> None:
    """Raise PictureError for a format that does not preserve pixels exactly."""
    if layout.container not in _WRITERS:
        raise PictureError("it is lossy, so changed pixels would not survive; use exif or raw")


# Chunks whose content depends on how pixels are stored.
_OF_COLOUR_TYPE: Final = (b"PLTE", b"tRNS", b"bKGD", b"sBIT", b"hIST")
_PICTURE: Final = (b"IHDR", b"IDAT", b"IEND")
# BMP: the compression in which masks locate the samples, the usual masks, and the smallest header that has a depth.
_BIT_FIELDS: Final = 3
_BLUE_FIRST: Final = (0xFF0000, 0xFF00, 0xFF)
_BMP_HEADER: Final = 40
_ALPHA_BAND: Final = 3
# TIFF: lossless compressions, and the tags that describe how pixels are stored.
_LOSSLESS_TIFF: Final = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate")
_TIFF_STORAGE: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347}
)


def _write_png(data: bytes, layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    if data[24] == 16:
        raise PictureError("it has 16 bits per sample, and half of them would be lost")
    written = BytesIO()
    changed.save(written, "PNG", compress_level=6)
    new = list(_list_chunks(written.getvalue()))
    header = next(content for kind, content in new if kind == b"IHDR")
    other_type = changed.mode != cover.mode
    names = [kind for kind, _ in _list_chunks(data)]
    if b"acTL" in names and header[8:10] != data[24:26]:
        raise PictureError("it is animated, and its other frames would be lost")
    table_grown = _count_colours(changed) != _count_colours(cover)
    left_out = (*_PICTURE, *(_OF_COLOUR_TYPE if other_type or table_grown else ()))
    pieces = [PNG_SIGNATURE, write_png_chunk(b"IHDR", header)]
    has_pixels = False
    for kind, content in _list_chunks(data):
        if kind == b"IDAT" and not has_pixels:
            has_pixels = True
            if other_type or table_grown:
                pieces += [write_png_chunk(*chunk) for chunk in new if chunk[0] in _OF_COLOUR_TYPE]
            pieces += [write_png_chunk(*chunk) for chunk in new if chunk[0] == b"IDAT"]
        elif kind not in left_out:
            pieces.append(write_png_chunk(kind, content))
    return b"".join(pieces) + write_png_chunk(b"IEND", b"") + data[layout.end :]


def _list_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        yield kind, data[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length


def _count_colours(image: Image.Image) -> int:
    return len(image.getpalette("RGB") or ()) // 3 if image.mode == "P" else 0


def _write_gif(data: bytes, _layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    at = _find_gif_picture(data)
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    if (left, top, width, height) != (0, 0, *cover.size):
        raise PictureError("its first frame does not cover the picture")
    start = at + 10 + count_colour_table_bytes(flags)
    indices = Image.frombytes("P", changed.size, changed.tobytes())
    # A table without equal entries, so that Pillow merges no indices.
    indices.putpalette(bytes(value for index in range(256) for value in (index, 255 - index, index ^ 0x55)), "RGB")
    stream = BytesIO()
    indices.save(stream, "GIF", optimize=False, interlace=0)
    new = stream.getvalue()
    new_at = _find_gif_picture(new)
    new_start = new_at + 10 + count_colour_table_bytes(new[new_at + 9])
    # The interlace flag is cleared: the new rows are in order.
    head = data[: at + 9] + bytes([flags & ~0x40]) + data[at + 10 : start]
    return head + new[new_start : _find_blocks_end(new, new_start + 1)] + data[_find_blocks_end(data, start + 1) :]


def _find_gif_picture(data: bytes) -> int:
    """Return the offset of the first frame's descriptor; the file must have been decoded before."""
    at = 13 + count_colour_table_bytes(data[10])
    while data[at] == 0x21:
        at = _find_blocks_end(data, at + 2)
    return at


def _find_blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _write_bmp(data: bytes, _layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    start, header, width, height, _, depth, compression = struct.unpack_from("<IIiiHHI", data, 10)
    bands = {"L": 1, "P": 1, "RGB": 3, "RGBA": 4}.get(changed.mode, 0)
    masks = struct.unpack_from("<3I", data, 54) if compression == _BIT_FIELDS else _BLUE_FIRST
    is_plain = header >= _BMP_HEADER and compression in (0, _BIT_FIELDS) and masks == _BLUE_FIRST
    if not is_plain or changed.mode != cover.mode or not 0 < bands <= depth // 8:
        raise PictureError("its pixel format is not supported for changes")
    written = bytearray(data)
    rows = np.frombuffer(written, np.uint8, (width * depth + 31) // 32 * 4 * abs(height), start)
    rows = rows.reshape(abs(height), -1)[:: -1 if height > 0 else 1, : width * depth // 8]
    samples = np.array(changed, np.uint8).reshape(abs(height), width, bands)
    for band in range(bands):
        place = 2 - band if bands > 1 and band < _ALPHA_BAND else band
        rows[:, place :: depth // 8] = samples[..., band]
    return bytes(written)


def _write_webp(data: bytes, layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    if getattr(cover, "n_frames", 1) > 1:
        raise PictureError("it is animated, and its other frames would be lost")
    kept = {name: cover.info[name] for name in ("icc_profile", "exif", "xmp") if cover.info.get(name)}
    written = BytesIO()
    changed.save(written, "WEBP", lossless=True, exact=True, method=0, **kept)
    return written.getvalue() + data[layout.end :]


def _write_tiff(_data: bytes, _layout: Layout, cover: Image.Image, changed: Image.Image) -> bytes:
    if getattr(cover, "n_frames", 1) > 1:
        raise PictureError("it has several pictures, and all but the first would be lost")
    compression = cover.info.get("compression")
    tags = dict(getattr(cover, "tag_v2", {}))
    written = BytesIO()
    changed.save(
        written,
        "TIFF",
        compression=compression if compression in _LOSSLESS_TIFF else "tiff_lzw",
        tiffinfo={tag: value for tag, value in tags.items() if tag not in _TIFF_STORAGE},
    )
    return written.getvalue()


_WRITERS: Final[dict[str, Callable[[bytes, Layout, Image.Image, Image.Image], bytes]]] = {
    "png": _write_png,
    "gif": _write_gif,
    "bmp": _write_bmp,
    "webp": _write_webp,
    "tiff": _write_tiff,
}
