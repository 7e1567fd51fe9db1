"""Hides a message in an image file by one of the five methods; format, metadata and all other bits stay unchanged.

Messages are written as in the specification and by Stargate's embedders: colours and palette indices MSB-first. A
message that does not fit, or would not survive in the file's format, is refused.
"""

from typing import Final

import numpy as np
from PIL import Image

from starlight_vocabulary.counts import format_count
from starlight_vocabulary.words import BitOrder, Method
from worker.v4 import exif_writing, picture_writing
from worker.v4.containers import Layout, survey
from worker.v4.embedding import (
    CapacityError,
    capacity,
    comment_value,
    embed_alpha,
    embed_lsb,
    embed_palette,
    embed_raw,
)
from worker.v4.exif_writing import ExifError
from worker.v4.extraction import open_carrier
from worker.v4.headers import ALPHA_PREFIX
from worker.v4.picture_writing import PictureError

BIT_ORDERS: Final = {Method.ALPHA: BitOrder.LSB_FIRST, Method.PALETTE: BitOrder.MSB_FIRST,
                     Method.LSB_RGB: BitOrder.MSB_FIRST}  # fmt: skip
"""The bit order in which messages are written; other methods hide whole bytes."""

PIXEL_METHODS: Final = tuple(BIT_ORDERS)

_USUAL: Final = {
    "png": Method.ALPHA, "webp": Method.ALPHA, "gif": Method.PALETTE, "jpeg": Method.EXIF, "bmp": Method.LSB_RGB,
    "tiff": Method.EXIF,
}  # fmt: skip
# The modes that a method can use, and the modes they are converted to, which does not change the visible picture.
_WITH_ALPHA: Final = {"1": "LA", "L": "LA", "LA": "LA", "P": "RGBA", "RGB": "RGBA", "RGBA": "RGBA"}
_WITH_COLOURS: Final = {"1": "RGB", "L": "RGB", "LA": "RGBA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
_ASCII, _UNDEFINED_CHARSET = 0, 3


class HidingError(ValueError):
    """The message cannot be hidden in this image; the error says why."""


def choose_method(data: bytes) -> Method:
    """Return the usual method for this file's format."""
    return _USUAL.get(survey(data).container, Method.RAW)


def hide(image: Image.Image, data: bytes, method: Method, message: bytes) -> tuple[Image.Image | None, bytes]:
    """Return the file with the message hidden in it, and the picture that it must show, None if that is unchanged.

    `image` is the decoded first frame of the file `data`, `message` is text in UTF-8. Raises HidingError.
    """
    if not message.strip() or b"\x00" in message:
        raise HidingError("the message needs text, and must not contain a zero byte, which would end it")
    layout = survey(data)
    try:
        if method is Method.RAW:
            return None, _hide_behind_end(data, layout, message)
        if method is Method.EXIF:
            return None, _hide_in_exif(image, data, layout, message)
        cover = _prepare(image, layout, method)
        spare = capacity(cover, method) - len(message)
        if spare < 0:
            raise _does_not_fit(message, spare, method)
        changed = _embed(cover, method, message)
        _check_table(changed)
        return changed, picture_writing.replace_picture(data, layout, image, changed)
    except (ExifError, PictureError, CapacityError) as error:
        raise HidingError(f"{method} does not go into this {describe(layout)}: {error}") from error


def check_hidden(expected: Image.Image | None, image: Image.Image, data: bytes, method: Method, message: bytes) -> None:
    """Raise HidingError unless the written file, decoded again, has the expected picture and the message."""
    if expected is not None and not _are_same(expected, image):
        raise HidingError(f"{method} would change other bits of this image's pixels")
    written = {Method.ALPHA: ALPHA_PREFIX + message, Method.EXIF: message}.get(method, message)
    carrier = open_carrier(image, data, method, BIT_ORDERS.get(method), len(written) + 1)
    if carrier.take(len(written)) != written:
        raise HidingError(f"a message hidden with {method} would not survive in this file")


def describe(layout: Layout) -> str:
    """Return the name of the format."""
    return layout.container.upper() if layout.container != "other" else "file"


def _hide_behind_end(data: bytes, layout: Layout, message: bytes) -> bytes:
    if layout.container in ("tiff", "other"):
        raise HidingError(f"raw does not go into a {describe(layout)}: the format does not define an end")
    if layout.end < len(data):
        more = format_count(len(data) - layout.end, "byte")
        raise HidingError(f"raw does not go into this {describe(layout)}: {more} already follow its end")
    return embed_raw(data, message)


def _hide_in_exif(image: Image.Image, data: bytes, layout: Layout, message: bytes) -> bytes:
    comment = comment_value(message, _ASCII if message.isascii() else _UNDEFINED_CHARSET)
    if layout.container == "tiff":
        return exif_writing.add_user_comment(data, comment)
    block = exif_writing.add_user_comment(data[layout.exif_start : layout.exif_end], comment)
    spare = exif_writing.count_spare_bytes(layout.container, block)
    if spare is not None and spare < 0:
        raise _does_not_fit(message, spare, Method.EXIF)
    if layout.container == "jpeg":
        return exif_writing.put_into_jpeg(data, layout, block)
    if layout.container == "png":
        return exif_writing.put_into_png(data, layout, block)
    if layout.container == "webp":
        return exif_writing.put_into_webp(data, layout, block, image.size, has_alpha=image.mode == "RGBA")
    raise ExifError("the format cannot hold EXIF data")


def _prepare(image: Image.Image, layout: Layout, method: Method) -> Image.Image:
    """Return the picture in a mode that has the method's carrier. Raises PictureError."""
    picture_writing.check_lossless(layout)
    if method is Method.PALETTE:
        # Pillow reports a grey colour table as mode L.
        is_grey_table = image.mode == "L" and layout.container in ("gif", "bmp")
        if image.mode != "P" and not is_grey_table:
            raise PictureError("it has no colour table")
        return _with_even_table(image) if layout.container == "png" else image
    mode = (_WITH_ALPHA if method is Method.ALPHA else _WITH_COLOURS).get(image.mode)
    if mode is None:
        raise PictureError(f"its pixels have the mode {image.mode}, and some of their bits would be lost")
    if layout.container == "gif":
        raise PictureError("a GIF has only palette indices")
    if method is Method.LSB_RGB and image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    return image if image.mode == mode else image.convert(mode)


def _with_even_table(image: Image.Image) -> Image.Image:
    """Return the picture with an even number of colours, so that an index with a changed low bit has a colour."""
    table = image.getpalette("RGB") or []
    if len(table) // 3 % 2 == 0:
        return image
    grown = image.copy()
    grown.putpalette(table + table[-3:], "RGB")
    grown.info.update(image.info)
    last = len(table) // 3 - 1
    opacities = image.info.get("transparency")
    if isinstance(opacities, bytes) and len(opacities) > last:
        grown.info["transparency"] = opacities[: last + 1] + opacities[last : last + 1]
    elif opacities == last:
        grown.info["transparency"] = b"\xff" * last + bytes(2)
    return grown


def _check_table(changed: Image.Image) -> None:
    colours = len(changed.getpalette("RGB") or ()) // 3
    if changed.mode == "P" and np.array(changed, np.uint8).max() >= colours:
        raise PictureError(f"its colour table has {colours} colours, and a changed index would be outside it")


def _embed(cover: Image.Image, method: Method, message: bytes) -> Image.Image:
    if method is Method.ALPHA:
        return embed_alpha(cover, message)
    if method is Method.PALETTE:
        return embed_palette(cover, message, BIT_ORDERS[method])
    return embed_lsb(cover, message, BIT_ORDERS[method])


def _are_same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and bool(np.array_equal(np.array(one), np.array(other)))


def _does_not_fit(message: bytes, spare: int, method: Method) -> HidingError:
    most = max(0, len(message) + spare)
    return HidingError(
        f"the message has {format_count(len(message), 'byte')}, and {method} has room for {most:,} in this image"
    )
