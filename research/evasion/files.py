"""Ways to hide in other parts of a file, and ways to damage a file."""

import base64
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, PngImagePlugin

from research.stego.metadata import draw_exif
from research.stego.payloads import draw_text
from worker.v4.embedding import embed_lsb, exif_with_comment

Rng = np.random.Generator

_BYTES: Final = 200
_IMAGE_DESCRIPTION: Final = 0x010E


@dataclass(frozen=True, slots=True)
class FileWay:
    """A way to hide in the metadata of a PNG file. V4 was trained for those that are `known`."""

    name: str
    make: Callable[[Rng, Image.Image], bytes]
    known: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """A way to damage a PNG file, stego or clean."""

    name: str
    damage: Callable[[bytes], bytes]


def encode_png(
    image: Image.Image, exif: Image.Exif | None = None, texts: PngImagePlugin.PngInfo | None = None
) -> bytes:
    """Encode a PNG with the same options for every cover."""
    buffer = io.BytesIO()
    # Bytes, since Pillow drops an EXIF object without main tags.
    image.save(buffer, "PNG", compress_level=1, exif=b"" if exif is None else exif.tobytes(), pnginfo=texts)
    return buffer.getvalue()


def make_harmless_exif(rng: Rng, cover: Image.Image) -> bytes:
    """Encode a PNG with EXIF as cameras and editors write it."""
    return encode_png(cover, draw_exif(rng, with_comment=True))


def hide_text(rng: Rng, cover: Image.Image) -> bytes:
    """Encode a PNG with a text in `lsb.rgb` by the specification."""
    return encode_png(embed_lsb(cover, draw_text(rng, _BYTES), "msb-first"))


def _comment(rng: Rng, cover: Image.Image) -> bytes:
    return encode_png(cover, exif_with_comment(draw_text(rng, _BYTES)))


def _comment_base64(rng: Rng, cover: Image.Image) -> bytes:
    return encode_png(cover, exif_with_comment(base64.b64encode(draw_text(rng, _BYTES))))


def _comment_ciphertext(rng: Rng, cover: Image.Image) -> bytes:
    return encode_png(cover, exif_with_comment(rng.bytes(_BYTES)))


def _description(rng: Rng, cover: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = draw_text(rng, _BYTES).decode()
    return encode_png(cover, exif)


def _text_chunk(rng: Rng, cover: Image.Image) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Comment", draw_text(rng, _BYTES).decode())
    return encode_png(cover, texts=texts)


def _private_chunk(rng: Rng, cover: Image.Image) -> bytes:
    """Insert a chunk of a private type before IEND, which is 12 bytes long."""
    data = encode_png(cover)
    body = b"prVt" + draw_text(rng, _BYTES)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return data[:-12] + chunk + data[-12:]


ELSEWHERE: Final = (
    FileWay("UserComment, text", _comment, known=True),
    FileWay("UserComment, Base64", _comment_base64, known=True),
    FileWay("UserComment, ciphertext", _comment_ciphertext, known=True),
    FileWay("ImageDescription, text", _description),
    FileWay("PNG text chunk", _text_chunk),
    FileWay("private PNG chunk", _private_chunk),
)
"""Places in the file for a payload of 200 bytes."""


def _flip_a_bit(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


DAMAGES: Final = (
    Damage("none", lambda data: data),
    Damage("no IEND", lambda data: data[:-12]),
    Damage("cut in half", lambda data: data[: len(data) // 2]),
    Damage("nine tenths cut off", lambda data: data[: len(data) // 10]),
    Damage("a bit flipped in the middle", _flip_a_bit),
    Damage("first 8 bytes overwritten", lambda data: bytes(8) + data[8:]),
)
"""Damages to a file with a text of 200 bytes in `lsb.rgb`."""
