"""Makes pairs: a stego image and its twin, which has the same cover, encoder and metadata, but no payload."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from research.stego.encoders import EXIF_FORMATS, Encoder, draw_any, draw_lossless
from research.stego.headers import EXACT_WRITERS, WRITERS, Writing, draw_writing, largest_text
from research.stego.metadata import draw_exif, draw_tags
from research.stego.negatives import encode_harmless
from research.stego.samples import Sample
from research.stego.tails import TAIL_WRITERS, Tail, draw_tail
from research.stego.trailers import append_harmless, declare_harmless
from worker.v4.embedding import (
    carrier_size,
    comment_value,
    embed_alpha,
    embed_lsb,
    embed_palette,
    embed_raw,
    embed_written,
    exif_with_comment,
)

Rng = np.random.Generator

SPECIFICATION: Final = "specification"
"""The writer that follows the specification: payload and a zero byte, with `AI42` before them in alpha."""
PIXEL_WRITERS: Final = (*WRITERS, "file")
_SHORTEST_WILD: Final = 8
_FILLING: Final = 0.25
"""Share of the texts without an end, and behind only a length, that fill their carrier to its last byte."""


def make_pair(rng: Rng, cover: Image.Image, method: str, payload: bytes, binary: bool) -> Iterator[Sample]:
    """Hide `payload` in `cover` and yield the stego image, then its twin.

    Raises `CapacityError` if it does not fit.
    """
    if method == "exif":
        yield from _exif_pair(rng, cover, payload, binary)
    elif method == "raw":
        yield from make_tail_pair(rng, cover, draw_specified_tail(rng, payload, binary))
    else:
        yield from _specified_pair(rng, cover, method, payload, binary)


def make_wild_pair(
    rng: Rng, cover: Image.Image, method: str, writer: str, smallest: int = _SHORTEST_WILD, largest: int = 4096
) -> list[Sample]:
    """Hide a drawn payload in pixels in the format of one of `PIXEL_WRITERS`; return stego image and twin.

    Returns an empty list if `smallest` bytes do not fit into the cover.
    """
    if writer == "file":
        return _file_pair(rng, cover, method)
    room = largest_text(writer, carrier_size(cover, method))
    largest = min(largest, room)
    if largest < smallest:
        return []
    size = int(np.exp(rng.uniform(np.log(smallest), np.log(largest + 1))))
    if writer in EXACT_WRITERS and largest == room and rng.random() < _FILLING:
        size = room
    writing = draw_writing(rng, writer, size)
    return make_written_pair(rng, cover, method, writing, writer)


def make_written_pair(rng: Rng, cover: Image.Image, method: str, writing: Writing, writer: str) -> list[Sample]:
    """Hide written bytes in pixels; return stego image and twin, or an empty list if the bytes do not fit."""
    if len(writing.written) > carrier_size(cover, method):
        return []
    return list(_pixel_pair(rng, cover, method, writing, writer))


def make_tail_pair(rng: Rng, cover: Image.Image, tail: Tail, original: bytes | None = None) -> Iterator[Sample]:
    """Append a tail to the encoded cover, or to an unchanged original file; yield the stego image, then its twin."""
    encoder = draw_any(rng, cover.mode, ("JPEG", "PNG", "GIF", "WEBP", "BMP"))
    data = original or encoder.encode(cover, draw_exif(rng, with_comment=False) if rng.random() < 0.15 else None)
    carrier = declare_harmless(rng, data) if rng.random() < 0.06 and not tail.looks_declared else data
    yield Sample(carrier + tail.written, "raw", "raw", "none", tail.payload, tail.binary, tail.writer)
    yield Sample(append_harmless(rng, data) if rng.random() < 0.8 else data, "twin", writer=tail.writer)


def draw_specified_tail(rng: Rng, payload: bytes, binary: bool) -> Tail:
    """Return `payload` as the specification appends it; some text lacks the closing zero byte."""
    # Ciphertext needs the zero byte: otherwise it resembles pieces of compressed data.
    written = embed_raw(b"", payload) if binary or rng.random() < 0.85 else payload
    return Tail(written, payload, binary, SPECIFICATION)


def _file_pair(rng: Rng, cover: Image.Image, method: str) -> list[Sample]:
    """Hide a file of a random kind, with or without its length before it."""
    writers = [writer for writer in TAIL_WRITERS if not writer.startswith("text")]
    tail = draw_tail(rng, writers[rng.integers(len(writers))], int(2 ** rng.uniform(3, 10)))
    start = b"" if rng.random() < 0.6 else len(tail.written).to_bytes(4, ("big", "little")[rng.integers(2)])
    return make_written_pair(rng, cover, method, Writing(start + tail.written, tail.payload, tail.binary), "file")


def _specified_pair(rng: Rng, cover: Image.Image, method: str, payload: bytes, binary: bool) -> Iterator[Sample]:
    bit_order = "lsb-first" if method == "alpha" or rng.random() < 0.5 else "msb-first"
    if method == "alpha":
        stego = embed_alpha(cover, payload)
    elif method == "palette":
        stego = embed_palette(cover, payload, bit_order)
    else:
        stego = embed_lsb(cover, payload, bit_order)
    hidden = Sample(b"", method, method, bit_order, payload, binary, SPECIFICATION)
    yield from _encoded_pair(rng, cover, stego, hidden)


def _pixel_pair(rng: Rng, cover: Image.Image, method: str, writing: Writing, writer: str) -> Iterator[Sample]:
    lsb_first = rng.random() < (0.75 if method == "alpha" else 0.5)
    bit_order = "lsb-first" if lsb_first else "msb-first"
    stego = embed_written(cover, method, writing.written, bit_order)
    hidden = Sample(b"", method, method, bit_order, writing.payload, writing.binary, writer)
    yield from _encoded_pair(rng, cover, stego, hidden)


def _encoded_pair(rng: Rng, cover: Image.Image, stego: Image.Image, hidden: Sample) -> Iterator[Sample]:
    """Encode a stego image and its cover with the same lossless encoder; `hidden` is the truth of the stego image."""
    encoder = draw_lossless(rng, cover.mode)
    if encoder.format == "BMP" and len(cover.getpalette() or ()) == 6:
        # Pillow opens a black-and-white BMP in mode 1, which has no palette.
        encoder = Encoder("PNG")
    if hidden.method == "alpha" and encoder.format == "WEBP" and rng.random() < 0.5:
        # Lossy WebP stores alpha without loss.
        encoder = Encoder("WEBP", (("quality", int(rng.integers(40, 100))), ("method", 0), ("exact", True)))
    state = rng.bit_generator.state
    yield replace(hidden, data=encode_harmless(rng, encoder, stego, share=0.06))
    rng.bit_generator.state = state
    yield Sample(encode_harmless(rng, encoder, cover, share=0.06), "twin", writer=hidden.writer)


def _exif_pair(rng: Rng, cover: Image.Image, payload: bytes, binary: bool) -> Iterator[Sample]:
    encoder = draw_any(rng, cover.mode, EXIF_FORMATS)
    charset = (None, 0, 0, 1, 2, 3)[rng.integers(6)] if not binary else (None, 0, 3)[rng.integers(3)]
    utf16 = ("utf-16-le", "utf-16-be", "utf-8")[rng.integers(3)]
    comment = comment_value(payload, charset, utf16) + (b"", b"", b"\x00")[rng.integers(3)]
    tags = draw_tags(rng) if rng.random() < 0.5 else {}
    exif = exif_with_comment(comment, tags, in_main=bool(rng.random() < 0.15))
    yield Sample(encoder.encode(cover, exif), "exif", "exif", "none", payload, binary, SPECIFICATION)
    harmless = draw_exif(rng, with_comment=bool(rng.random() < 0.75))
    yield Sample(encoder.encode(cover, harmless), "twin", writer=SPECIFICATION)
