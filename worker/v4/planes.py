"""One decoded image as small arrays of fixed size: all that V4 ever sees of it.

Hidden bits start at the first pixel of the whole image in its own mode, so samples are taken from there, row by row,
before any conversion, crop or resize. Only the rows that are needed are touched: a large picture costs about what a
small one does.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.v4.containers import CONTAINERS, survey
from worker.v4.exif import find_user_comment, read_comment_text

Bytes = NDArray[np.uint8]

SAMPLES: Final = 8192
"""Carrier samples kept of each plane: their least significant bits make 1,024 bytes."""
TEXT_BYTES: Final = 1024
"""Bytes kept of the UserComment and of what follows the image's end."""
TAIL_BYTES: Final = 64
"""Of these, bytes from the very end where there are more than can be kept: a payload ends in zero, cut files do not."""
CROP: Final = 32
"""Side of the RGB crop, in pixels."""

MODES: Final = (
    "other", "1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "LAB",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planes:
    """One image, about 30 KB whatever its size. All arrays are uint8; what the image lacks is 0.

    `pixel` is the RGB crop from the centre, (32, 32, 3). `rgb` holds the first samples R, G, B, R, … row by row,
    `alpha` those of the alpha channel, `index` those of the single channel of a palette or grey image, (8192,) each;
    `palette` is the colour table, (768,). `user_comment`, `comment_text` and `trailing` are the first bytes, (1024,),
    of the EXIF UserComment, of its text as UTF-8 and of what follows the picture's end. The counts say how many leading
    entries are real; `user_comment_size`, `trailing_size` and `exif_size` are sizes in the file, in bytes. `mode` and
    `container` are positions in `MODES` and `CONTAINERS`.
    """

    pixel: Bytes
    rgb: Bytes
    alpha: Bytes
    index: Bytes
    palette: Bytes
    user_comment: Bytes
    comment_text: Bytes
    trailing: Bytes
    rgb_count: int
    alpha_count: int
    index_count: int
    palette_colours: int
    user_comment_size: int
    trailing_size: int
    exif_size: int
    comment_text_size: int
    width: int
    height: int
    mode: int
    container: int


def extract_planes(image: Image.Image, data: bytes) -> Planes:
    """Take the planes of a decoded image.

    `image` is the first frame in its native mode, loaded and not converted or resized; `data` the whole file. Never
    raises on account of the mode, the size or malformed metadata.
    """
    layout = survey(data)
    view = memoryview(data)
    exif = view[layout.exif_start : layout.exif_end]
    comment = find_user_comment(exif)
    text = read_comment_text(exif, TEXT_BYTES)
    tail = view[layout.end :]
    rgb, alpha, index = _carriers(image)
    palette = _palette(image)
    return Planes(
        pixel=_centre_crop(image),
        rgb=_fixed(rgb, SAMPLES),
        alpha=_fixed(alpha, SAMPLES),
        index=_fixed(index, SAMPLES),
        palette=_fixed(palette, 768),
        user_comment=_fixed(np.frombuffer(comment[:TEXT_BYTES], np.uint8), TEXT_BYTES),
        comment_text=_fixed(np.frombuffer(text[:TEXT_BYTES], np.uint8), TEXT_BYTES),
        trailing=_fixed(np.frombuffer(_head_and_tail(tail), np.uint8), TEXT_BYTES),
        rgb_count=min(rgb.size, SAMPLES),
        alpha_count=min(alpha.size, SAMPLES),
        index_count=min(index.size, SAMPLES),
        palette_colours=palette.size // 3,
        user_comment_size=len(comment),
        trailing_size=len(tail),
        exif_size=len(exif),
        comment_text_size=min(len(text), TEXT_BYTES),
        width=image.width,
        height=image.height,
        mode=MODES.index(image.mode) if image.mode in MODES else 0,
        container=CONTAINERS.index(layout.container),
    )


_EMPTY: Final[Bytes] = np.zeros(0, np.uint8)
# What most images lack of most planes; shared, as nothing writes into planes.
_ABSENT: Final[Bytes] = np.zeros(SAMPLES, np.uint8)
_ABSENT.flags.writeable = False

# Channels of a mode that are carriers: how many belong to the colour, and which is alpha.
_RGB_MODES: Final = {"RGB": 3, "RGBX": 4, "RGBA": 4, "RGBa": 4}
_SINGLE_MODES: Final = {"L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2}
_ALPHA_MODES: Final = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})


def take_leading_pixels(image: Image.Image, count: int, channels: int) -> Bytes:
    """Return the first `count` pixels (fewer if the image has fewer), row by row, as (pixels, channels) of uint8.

    `image` has 8 bits a channel and `channels` of them; at most one row more than needed is copied.
    """
    width = min(image.width, count)
    rows = min(image.height, -(-count // width)) if width else 0
    if rows == 0:
        return np.zeros((0, channels), np.uint8)
    head = image.crop((0, 0, width, rows))
    return np.frombuffer(head.tobytes(), np.uint8).reshape(-1, channels)[:count]


def _carriers(image: Image.Image) -> tuple[Bytes, Bytes, Bytes]:
    """Return the R, G, B samples, the alpha samples and the single-channel samples of the first pixels."""
    rgb = alpha = index = _EMPTY
    if image.mode in _RGB_MODES:
        head = take_leading_pixels(
            image, SAMPLES if image.mode in _ALPHA_MODES else SAMPLES // 3 + 1, _RGB_MODES[image.mode]
        )
        rgb = head[: SAMPLES // 3 + 1, :3].reshape(-1)
    elif image.mode in _SINGLE_MODES:
        head = take_leading_pixels(image, SAMPLES, _SINGLE_MODES[image.mode])
        index = head[:, 0]
    if image.mode in _ALPHA_MODES:
        alpha = head[:, -1]
    return rgb, alpha, index


def _palette(image: Image.Image) -> Bytes:
    if image.mode not in ("P", "PA"):
        return _EMPTY
    table = image.getpalette("RGB") or []
    return np.array(table[:768], np.uint8)


def _centre_crop(image: Image.Image) -> Bytes:
    left, top = max(0, (image.width - CROP) // 2), max(0, (image.height - CROP) // 2)
    right, bottom = min(image.width, left + CROP), min(image.height, top + CROP)
    whole = np.zeros((CROP, CROP, 3), np.uint8)
    crop = image.crop((left, top, right, bottom))
    # Pillow has no direct way to RGB from every mode; the crop stays black then.
    with contextlib.suppress(ValueError, OSError):
        whole[: bottom - top, : right - left] = np.asarray(crop if crop.mode == "RGB" else crop.convert("RGB"))
    return whole


def _head_and_tail(tail: memoryview) -> bytes | memoryview:
    if len(tail) <= TEXT_BYTES:
        return tail
    return bytes(tail[: TEXT_BYTES - TAIL_BYTES]) + bytes(tail[-TAIL_BYTES:])


def _fixed(values: Bytes, size: int) -> Bytes:
    if values.size == 0:
        return _ABSENT[:size]
    whole = np.zeros(size, np.uint8)
    whole[: min(size, values.size)] = values[:size]
    return whole
