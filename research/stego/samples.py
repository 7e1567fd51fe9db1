"""Labelled image files, drawn from a seed: stego images with their clean twins, hard negatives, untouched images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from research.stego.corpus import Corpus
from research.stego.covers import CoverSource
from research.stego.drawn import PICTURE_NAMES, draw_picture
from research.stego.embed import (
    capacity,
    comment_value,
    embed_alpha,
    embed_lsb,
    embed_palette,
    embed_raw,
    exif_with_comment,
)
from research.stego.encoders import EXIF_FORMATS, Encoder, draw_any, draw_lossless
from research.stego.metadata import draw_exif, draw_tags, draw_trailing
from research.stego.payloads import SHORTEST, draw_binary, draw_size, draw_text
from starlight_vocabulary.words import METHODS
from worker.v4.containers import find_trailing

Rng = np.random.Generator

_METHOD_SHARES: Final = np.array([0.10, 0.23, 0.24, 0.23, 0.20])
_BINARY_SHARE: Final = {"alpha": 0.12, "palette": 0.04, "lsb.rgb": 0.04, "exif": 0.06, "raw": 0.3}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and what is true of it.

    `method` and `bit_order` are None for a clean image. `kind` says what it is: a stego image, its `twin`, a `drawn`
    or an `untouched` one; `payload` is what was hidden and `binary` whether that has no text structure.
    """

    data: bytes
    kind: str
    method: str | None = None
    bit_order: str | None = None
    payload: bytes = b""
    binary: bool = False


class SampleSource:
    """Draws samples; the same generator state gives the same samples."""

    def __init__(self, corpus: Corpus | None, drawn_share: float = 0.25) -> None:
        self._corpus = corpus
        self._covers = CoverSource(corpus, drawn_share)

    def draw(self, rng: Rng) -> Iterator[Sample]:
        """Draw one or two samples: an untouched image, a hard negative, or a stego image and its twin."""
        roll = rng.random()
        if roll < 0.18 and self._corpus is not None:
            yield Sample(self._corpus.draw(rng).read_bytes(), "untouched")
        elif roll < 0.34:
            yield draw_negative(rng)
        else:
            yield from self.draw_pair(rng, METHODS[rng.choice(len(METHODS), p=_METHOD_SHARES)])

    def draw_pair(self, rng: Rng, method: str) -> Iterator[Sample]:
        """Draw a stego image of `method` and its twin: the same cover, encoder and metadata, but for the payload."""
        cover = self._covers.draw(rng, method)
        room = capacity(cover, method) if method not in ("exif", "raw") else 4096
        if room < SHORTEST:
            yield draw_negative(rng)
            return
        binary = rng.random() < _BINARY_SHARE[method]
        size = draw_size(rng, room)
        payload = draw_binary(rng, max(size, 16) if room >= 16 else size) if binary else draw_text(rng, size)
        original = self._original(rng) if method == "raw" and rng.random() < 0.35 else None
        if original is not None:
            yield from _raw_pair(rng, cover, payload, binary, original)
        else:
            yield from make_pair(rng, cover, method, payload, binary)

    def _original(self, rng: Rng) -> bytes | None:
        """Draw a file of the corpus that ends where its picture does."""
        if self._corpus is None:
            return None
        data = self._corpus.draw(rng).read_bytes()
        return None if len(find_trailing(data)) or data.startswith((b"II*", b"MM\x00*")) else data


def make_pair(rng: Rng, cover: Image.Image, method: str, payload: bytes, binary: bool) -> Iterator[Sample]:
    """Hide `payload` in `cover` and yield the stego image, then its twin.

    Raises `CapacityError` if it does not fit.
    """
    if method == "exif":
        yield from _exif_pair(rng, cover, payload, binary)
    elif method == "raw":
        yield from _raw_pair(rng, cover, payload, binary)
    else:
        yield from _pixel_pair(rng, cover, method, payload, binary)


def draw_negative(rng: Rng) -> Sample:
    """Draw a clean file of a drawn picture, in a mode and format of its own, often with harmless metadata."""
    kind = PICTURE_NAMES[rng.integers(len(PICTURE_NAMES))]
    image = draw_picture(rng, kind)
    roll = rng.random()
    if roll < 0.4:
        colours = int(2 ** rng.integers(1, 9))
        dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
        image = image.quantize(palette=image.quantize(colours), dither=dither)
    elif roll < 0.6:
        image = image.convert(("RGBA", "L", "1", "LA")[rng.integers(4)])
        if image.mode == "RGBA" and rng.random() < 0.6:
            image.putalpha(draw_picture(rng, size=image.size).convert("L"))
    data = _encode_harmless(rng, draw_any(rng, image.mode), image, share=0.25)
    return Sample(data, f"drawn {kind}")


def _pixel_pair(rng: Rng, cover: Image.Image, method: str, payload: bytes, binary: bool) -> Iterator[Sample]:
    bit_order = "lsb-first" if method == "alpha" or rng.random() < 0.5 else "msb-first"
    if method == "alpha":
        stego = embed_alpha(cover, payload)
    elif method == "palette":
        stego = embed_palette(cover, payload, bit_order)
    else:
        stego = embed_lsb(cover, payload, bit_order)
    encoder = draw_lossless(rng, cover.mode)
    if encoder.format == "BMP" and len(cover.getpalette() or ()) == 6:
        # Pillow opens a BMP in black and white as mode 1, which has no palette.
        encoder = Encoder("PNG")
    if method == "alpha" and encoder.format == "WEBP" and rng.random() < 0.5:
        # Lossy WebP keeps alpha whole.
        encoder = Encoder("WEBP", (("quality", int(rng.integers(40, 100))), ("method", 0), ("exact", True)))
    state = rng.bit_generator.state
    yield Sample(_encode_harmless(rng, encoder, stego, share=0.06), method, method, bit_order, payload, binary)
    rng.bit_generator.state = state
    yield Sample(_encode_harmless(rng, encoder, cover, share=0.06), "twin")


def _exif_pair(rng: Rng, cover: Image.Image, payload: bytes, binary: bool) -> Iterator[Sample]:
    encoder = draw_any(rng, cover.mode, EXIF_FORMATS)
    charset = (None, 0, 0, 1, 2, 3)[rng.integers(6)] if not binary else (None, 0, 3)[rng.integers(3)]
    utf16 = ("utf-16-le", "utf-16-be", "utf-8")[rng.integers(3)]
    comment = comment_value(payload, charset, utf16) + (b"", b"", b"\x00")[rng.integers(3)]
    tags = draw_tags(rng) if rng.random() < 0.5 else {}
    exif = exif_with_comment(comment, tags, in_main=bool(rng.random() < 0.15))
    yield Sample(encoder.encode(cover, exif), "exif", "exif", "none", payload, binary)
    harmless = draw_exif(rng, with_comment=bool(rng.random() < 0.75))
    yield Sample(encoder.encode(cover, harmless), "twin")


def _raw_pair(
    rng: Rng, cover: Image.Image, payload: bytes, binary: bool, original: bytes | None = None
) -> Iterator[Sample]:
    """Append to the encoded cover, or to an original file as it is."""
    encoder = draw_any(rng, cover.mode, ("JPEG", "PNG", "GIF", "WEBP", "BMP"))
    data = original or encoder.encode(cover, draw_exif(rng, with_comment=False) if rng.random() < 0.15 else None)
    # Not everybody closes text with a zero byte; without it, ciphertext is like pieces of compressed data.
    closed = embed_raw(data, payload) if binary or rng.random() < 0.85 else data + payload
    yield Sample(closed, "raw", "raw", "none", payload, binary)
    yield Sample(data + (draw_trailing(rng, data) if rng.random() < 0.8 else b""), "twin")


def _encode_harmless(rng: Rng, encoder: Encoder, image: Image.Image, share: float) -> bytes:
    """Encode, with harmless EXIF and trailing bytes in a share of the files each."""
    exif = None
    # Pillow turns a TIFF as its orientation says, and the first pixel is another one then.
    if encoder.format in EXIF_FORMATS and encoder.format != "TIFF" and rng.random() < share:
        exif = draw_exif(rng, with_comment=bool(rng.random() < 0.7))
    data = encoder.encode(image, exif)
    if encoder.format != "TIFF" and rng.random() < share:
        data += draw_trailing(rng, data)
    return data
