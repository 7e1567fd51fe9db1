"""Extracts the planes of a decoded image: small arrays of fixed size, which are all that V4 sees of it.

Hidden bits start at the first pixel of the image in its native mode, so samples are taken from there, row by row,
before any conversion, crop or resize. Only the necessary rows are read, so a large picture takes about as long as a
small one.
"""

import contextlib
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.v4.companions import find_companions
from worker.v4.containers import CONTAINERS, survey
from worker.v4.exif import find_user_comment, read_comment_text
from worker.v4.exif_blocks import find_exif_block

Bytes = NDArray[np.uint8]

SAMPLES: Final = 8192
"""Carrier samples kept of each plane; their least significant bits make 1,024 bytes."""
TEXT_BYTES: Final = 1024
"""Bytes kept of the UserComment and of the trailing bytes."""
TAIL_BYTES: Final = 64
"""How many of these are taken from the end if not all are kept: a payload ends in zero, a truncated file does not."""
CROP: Final = 32
"""Side of the RGB crop, in pixels."""
PALETTE_BYTES: Final = 768
"""Bytes of a colour table: R, G, B of up to 256 colours."""

MODES: Final = (
    "other", "1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "LAB",
)  # fmt: skip


NUMBERS: Final = (
    "rgb_count", "alpha_count", "index_count", "palette_colours", "user_comment_size", "trailing_size",
    "exif_size", "comment_text_size", "width", "height", "mode", "container", "declarations", "declared_size",
    "same_start",
)  # fmt: skip

PLANES: Final = np.dtype([
    ("pixel", np.uint8, (CROP, CROP, 3)),
    ("rgb", np.uint8, SAMPLES),
    ("alpha", np.uint8, SAMPLES),
    ("index", np.uint8, SAMPLES),
    ("palette", np.uint8, PALETTE_BYTES),
    ("user_comment", np.uint8, TEXT_BYTES),
    ("comment_text", np.uint8, TEXT_BYTES),
    ("trailing", np.uint8, TEXT_BYTES),
    ("numbers", np.int64, len(NUMBERS)),
])  # fmt: skip
"""The planes of one image, about 31 KB for any size of image. Planes that the image lacks are 0.

`pixel` is the RGB crop from the centre. `rgb` holds the first samples R, G, B, R, … row by row, `alpha` those of the
alpha channel, `index` those of the single channel of a palette or grey image; `palette` is the colour table.
`user_comment`, `comment_text` and `trailing` are the first bytes of the EXIF UserComment, of its text as UTF-8 and of
the bytes after the picture's end. `numbers` are those of `NUMBERS`: the counts say how many leading samples are valid;
`user_comment_size`, `trailing_size` and `exif_size` are sizes in the file, in bytes; `mode` and `container` are
positions in `MODES` and `CONTAINERS`; `declarations`, `declared_size` and `same_start` are the flags, the declared
bytes and the repeated bytes of `Companions`.
"""

PlaneArray: TypeAlias = np.ndarray[Any, np.dtype[np.void]]
"""Planes of several images: (N,) of `PLANES`."""


def count_rows_read(width: int, height: int) -> int:
    """Return how many rows of a picture, from the first one on, `extract_planes` reads."""
    return min(height, max(-(-SAMPLES // max(1, width)), _crop_start(height) + CROP))


def extract_planes(
    image: Image.Image, data: bytes, into: np.void | None = None, *, height: int | None = None
) -> np.void:
    """Extract the planes of a decoded image, into an element of a `PlaneArray` if one is given.

    `image` is the first frame in its native mode, loaded, not converted or resized; `data` is the whole file. If
    `height` is given, the picture has so many rows, of which `image` contains at least the first `count_rows_read`.
    No mode, size or malformed metadata makes this raise.
    """
    height = image.height if height is None else height
    planes: np.void = np.empty(1, PLANES)[0] if into is None else into
    layout = survey(data)
    view = memoryview(data)
    exif = find_exif_block(data, layout)
    comment = find_user_comment(exif)
    text = read_comment_text(exif, TEXT_BYTES)
    tail = view[layout.end :]
    companions = find_companions(data, layout.container, layout.end)
    rgb, alpha, index = _carriers(image)
    palette = _palette(image)
    planes["pixel"] = _centre_crop(image, height)
    _fill(planes["rgb"], rgb)
    _fill(planes["alpha"], alpha)
    _fill(planes["index"], index)
    _fill(planes["palette"], palette)
    _fill(planes["user_comment"], np.frombuffer(comment[:TEXT_BYTES], np.uint8))
    _fill(planes["comment_text"], np.frombuffer(text[:TEXT_BYTES], np.uint8))
    _fill(planes["trailing"], np.frombuffer(_head_and_tail(tail), np.uint8))
    planes["numbers"] = (
        min(rgb.size, SAMPLES),
        min(alpha.size, SAMPLES),
        min(index.size, SAMPLES),
        palette.size // 3,
        len(comment),
        len(tail),
        len(exif),
        min(len(text), TEXT_BYTES),
        image.width,
        height,
        MODES.index(image.mode) if image.mode in MODES else 0,
        CONTAINERS.index(layout.container),
        companions.flags,
        companions.declared,
        companions.same_start,
    )
    return planes


_EMPTY: Final[Bytes] = np.zeros(0, np.uint8)

# The modes whose channels are carriers, with their numbers of channels; the last channel of `_ALPHA_MODES` is alpha.
_RGB_MODES: Final = {"RGB": 3, "RGBX": 4, "RGBA": 4, "RGBa": 4}
_SINGLE_MODES: Final = {"L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2}
_ALPHA_MODES: Final = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})


def read_number(planes: np.void, name: str) -> int:
    """Return the value of one of `NUMBERS`."""
    return int(planes["numbers"][NUMBERS.index(name)])


def take_leading_pixels(image: Image.Image, count: int, channels: int) -> Bytes:
    """Return the first `count` pixels (fewer if the image has fewer), row by row, as (pixels, channels) of uint8.

    `image` has `channels` channels of 8 bits; at most one row more than needed is copied.
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
    return np.array(table[:PALETTE_BYTES], np.uint8)


def _centre_crop(image: Image.Image, height: int) -> Bytes:
    left, top = _crop_start(image.width), _crop_start(height)
    right, bottom = min(image.width, left + CROP), min(height, top + CROP)
    whole = np.zeros((CROP, CROP, 3), np.uint8)
    crop = image.crop((left, top, right, bottom))
    # Pillow cannot convert every mode directly to RGB; the crop then stays black.
    with contextlib.suppress(ValueError, OSError):
        whole[: bottom - top, : right - left] = np.asarray(crop if crop.mode == "RGB" else crop.convert("RGB"))
    return whole


def _crop_start(side: int) -> int:
    return max(0, (side - CROP) // 2)


def _head_and_tail(tail: memoryview) -> bytes | memoryview:
    if len(tail) <= TEXT_BYTES:
        return tail
    return bytes(tail[: TEXT_BYTES - TAIL_BYTES]) + bytes(tail[-TAIL_BYTES:])


def _fill(plane: Bytes, values: Bytes) -> None:
    size = min(values.size, plane.size)
    plane[:size] = values[:size]
    plane[size:] = 0
