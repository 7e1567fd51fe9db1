"""Writes payloads into images by each of the five methods, as the specification defines them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.v4.exif import CHARSETS, EXIF_IFD, USER_COMMENT
from worker.v4.headers import ALPHA_PREFIX

_CHANNELS = {"alpha": slice(-1, None), "palette": slice(0, 1), "lsb.rgb": slice(0, 3)}


class CapacityError(ValueError):
    """The payload with its terminator does not fit into the carrier."""


def capacity(image: Image.Image, method: str) -> int:
    """Return how many bytes of payload fit into the carrier of `alpha`, `palette` or `lsb.rgb`, with the terminator."""
    return carrier_size(image, method) - 1 - (len(ALPHA_PREFIX) if method == "alpha" else 0)


def carrier_size(image: Image.Image, method: str) -> int:
    """Return how many bytes fit into the carrier of `alpha`, `palette` or `lsb.rgb` if nothing else is written."""
    return image.width * image.height * (3 if method == "lsb.rgb" else 1) // 8


def embed_written(image: Image.Image, method: str, written: bytes, bit_order: str) -> Image.Image:
    """Write bytes into the carrier of a pixel method, without adding a prefix or terminator."""
    return _replace(image, _CHANNELS[method], written, bit_order)


def embed_alpha(image: Image.Image, payload: bytes) -> Image.Image:
    """Hide a payload in the alpha plane of an RGBA or LA image, LSB-first, after the prefix."""
    return _replace(image, slice(-1, None), ALPHA_PREFIX + payload + b"\x00", "lsb-first")


def embed_palette(image: Image.Image, payload: bytes, bit_order: str) -> Image.Image:
    """Hide a payload in the palette indices of a P image."""
    return _replace(image, slice(0, 1), payload + b"\x00", bit_order)


def embed_lsb(image: Image.Image, payload: bytes, bit_order: str) -> Image.Image:
    """Hide a payload in R, G, B of an RGB or RGBA image."""
    return _replace(image, slice(0, 3), payload + b"\x00", bit_order)


def embed_raw(data: bytes, payload: bytes) -> bytes:
    """Append a payload to an image file."""
    return data + payload + b"\x00"


def comment_value(text: bytes, charset: int | None, utf16: str = "utf-16-le") -> bytes:
    """Return a UserComment: UTF-8 `text` after `CHARSETS[charset]` (as `utf16` for UNICODE), or without a header."""
    if charset is None:
        return text
    if CHARSETS[charset] == b"UNICODE\x00":
        return CHARSETS[charset] + text.decode(errors="replace").encode(utf16)
    return CHARSETS[charset] + text


def exif_with_comment(comment: bytes, tags: dict[int, str | int] | None = None, *, in_main: bool = False) -> Image.Exif:
    """Return an EXIF block with the raw UserComment `comment` and other tags of the main directory."""
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    if in_main:
        exif[USER_COMMENT] = comment
    else:
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
    return exif


def _replace(image: Image.Image, channels: slice, hidden: bytes, bit_order: str) -> Image.Image:
    """Replace the least significant bits of the first samples of some channels, pixel by pixel, row by row."""
    pixels: NDArray[np.uint8] = np.array(image, np.uint8)
    planes = pixels.reshape(image.height * image.width, -1)
    samples = planes[:, channels].reshape(-1)
    bits = np.unpackbits(np.frombuffer(hidden, np.uint8), bitorder="big" if bit_order == "msb-first" else "little")
    if bits.size > samples.size:
        raise CapacityError(f"{len(hidden)} bytes do not fit into {samples.size} samples")
    samples[: bits.size] = samples[: bits.size] & 0xFE | bits
    planes[:, channels] = samples.reshape(planes[:, channels].shape)
    changed = Image.fromarray(pixels, image.mode)
    if image.mode == "P":
        changed.putpalette(image.getpalette("RGB") or [], "RGB")
        changed.info.update(image.info)
    return changed
