"""Draws labelled image files: stego images with their clean twins, hard negatives, untouched images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import Image

from research.stego.corpus import Corpus
from research.stego.covers import CoverSource
from research.stego.drawn import PICTURE_NAMES, draw_picture
from research.stego.encoders import EXIF_FORMATS, Encoder, draw_any, draw_lossless
from research.stego.headers import WRITERS, Writing, draw_writing, largest_text
from research.stego.metadata import draw_exif, draw_tags
from research.stego.payloads import SHORTEST, draw_binary, draw_size, draw_text
from research.stego.planes import take_planes
from research.stego.tails import TAIL_WRITERS, Tail, draw_tail, draw_unknown_file
from research.stego.trailers import DECLARED_KINDS, append_harmless, append_kind, declare_harmless
from starlight_vocabulary.words import METHODS
from worker.v4.containers import find_trailing
from worker.v4.embedding import (
    capacity,
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
_METHOD_SHARES: Final = np.array([0.12, 0.20, 0.27, 0.11, 0.30])
_WILD_SHARE: Final = {"alpha": 0.55, "palette": 0.5, "lsb.rgb": 0.6, "exif": 0.0, "raw": 0.65}
"""Share of the payloads that do not follow the specification."""
_WEIGHTS: Final = {"no end": 3.0, "end mark": 2.0, "decimal length": 2.5, "magic": 2.0, "file name": 2.5, "base64": 2.5,
                   "digest": 3.5, "wide characters": 3.0, "ciphertext behind a length": 3.0,
                   "deflated behind a length": 2.0, "deflated": 1.5, "file": 3.0}  # fmt: skip
# Writers that the network learns slowly are drawn more often.
_TAIL_WEIGHTS: Final = {"text without a zero": 4.0, "text with newlines": 3.0, "text before a footer": 2.0, "pgp": 3.0,
                        "png": 4.0, "zlib": 3.0, "zstd": 2.0, "gif": 3.0, "jpeg": 3.0, "gzip": 1.5, "elf": 2.0,
                        "exe": 3.0, "tar": 2.0}  # fmt: skip
_UNKNOWN_FILES: Final = 0.08
"""Share of appended files that have nothing but the signature of a known format."""
_CUT_SHARE: Final = 0.05
"""Share of the files that are truncated."""
_SHARES: Final = np.array([_WEIGHTS.get(writer, 0.8) for writer in PIXEL_WRITERS])
_TAIL_SHARES: Final = np.array([_TAIL_WEIGHTS.get(writer, 1.0) for writer in TAIL_WRITERS])
_SHORTEST_WILD: Final = 8
_CARRIERS: Final = {"alpha": "alpha", "palette": "index", "lsb.rgb": "rgb"}
"""Plane with the samples of each method."""
_LONGEST_HEADER: Final = 96
_BINARY_SHARE: Final = {"alpha": 0.12, "palette": 0.10, "lsb.rgb": 0.06, "exif": 0.06, "raw": 0.3}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and its truth.

    `method` and `bit_order` are None for a clean image. `kind` is the method of a stego image, `twin`, `untouched`,
    `harmless` or `drawn KIND`; `payload` is what was hidden, `binary` means that it is not text, and `writer` names its
    format. `is_cut` means that the file is truncated.
    """

    data: bytes
    kind: str
    method: str | None = None
    bit_order: str | None = None
    payload: bytes = b""
    binary: bool = False
    writer: str = ""
    is_cut: bool = False


class SampleSource:
    """Draws samples; the same state of the generator gives the same samples."""

    def __init__(self, corpus: Corpus | None, drawn_share: float = 0.25) -> None:
        self._corpus = corpus
        self._covers = CoverSource(corpus, drawn_share)

    def draw(self, rng: Rng) -> Iterator[Sample]:
        """Draw one or two samples: an untouched image, a hard negative, a cover, or a stego image and its twin."""
        drawn = self._draw_whole(rng)
        if rng.random() >= _CUT_SHARE:
            yield from drawn
            return
        for sample in drawn:
            cut = cut_off(rng, sample)
            if sample.method is None or _is_left(sample, cut):
                yield cut

    def _draw_whole(self, rng: Rng) -> Iterator[Sample]:
        roll = rng.random()
        method = METHODS[rng.choice(len(METHODS), p=_METHOD_SHARES)]
        if roll < 0.16 and self._corpus is not None:
            yield Sample(self._corpus.draw(rng).read_bytes(), "untouched")
        elif roll < 0.3:
            yield draw_negative(rng)
        elif roll < 0.38:
            cover = self._covers.draw(rng, method)
            yield Sample(_encode_harmless(rng, draw_lossless(rng, cover.mode), cover, share=0.06), "twin")
        else:
            yield from self.draw_pair(rng, method)

    def draw_pair(self, rng: Rng, method: str) -> Iterator[Sample]:
        """Draw a stego image of `method` and its twin: same cover, encoder and metadata, but no payload."""
        cover = self._covers.draw(rng, method)
        room = capacity(cover, method) if method not in ("exif", "raw") else 4096
        if room < SHORTEST:
            yield draw_negative(rng)
            return
        if rng.random() < _WILD_SHARE[method]:
            yield from self._wild_pair(rng, cover, method)
            return
        binary = rng.random() < _BINARY_SHARE[method]
        size = draw_size(rng, room)
        payload = draw_binary(rng, max(size, 16) if room >= 16 else size) if binary else draw_text(rng, size)
        original = self._original(rng) if method == "raw" and rng.random() < 0.35 else None
        if original is not None:
            yield from _raw_pair(rng, cover, _terminated(rng, payload, binary), original)
        else:
            yield from make_pair(rng, cover, method, payload, binary)

    def _wild_pair(self, rng: Rng, cover: Image.Image, method: str) -> Iterator[Sample]:
        """Draw a pair whose payload does not follow the specification."""
        if method == "raw" and rng.random() < _UNKNOWN_FILES:
            yield from _raw_pair(rng, cover, draw_unknown_file(rng, int(2 ** rng.uniform(4, 11.5))))
            return
        if method == "raw":
            writer = TAIL_WRITERS[rng.choice(len(TAIL_WRITERS), p=_TAIL_SHARES / _TAIL_SHARES.sum())]
            tail = draw_tail(rng, writer, int(2 ** rng.uniform(4, 11.5)))
            yield from _raw_pair(rng, cover, tail, self._original(rng) if rng.random() < 0.35 else None)
            return
        writer = PIXEL_WRITERS[rng.choice(len(PIXEL_WRITERS), p=_SHARES / _SHARES.sum())]
        yield from make_wild_pair(rng, cover, method, writer) or [draw_negative(rng)]

    def _original(self, rng: Rng) -> bytes | None:
        """Draw a file of the corpus without trailing bytes; None if the drawn one has some or is a TIFF."""
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
        yield from _raw_pair(rng, cover, _terminated(rng, payload, binary))
    else:
        yield from _specified_pair(rng, cover, method, payload, binary)


def make_wild_pair(
    rng: Rng, cover: Image.Image, method: str, writer: str, smallest: int = _SHORTEST_WILD, largest: int = 4096
) -> list[Sample]:
    """Hide a drawn payload in pixels in the format of one of `PIXEL_WRITERS`; return stego image and twin.

    Returns an empty list if `smallest` bytes do not fit into the cover.
    """
    room = capacity(cover, method) + 1
    if writer == "file":
        return _file_pair(rng, cover, method)
    largest = min(largest, largest_text(writer, room))
    if largest < smallest:
        return []
    size = int(np.exp(rng.uniform(np.log(smallest), np.log(largest + 1))))
    writing = draw_writing(rng, writer, size)
    return make_written_pair(rng, cover, method, writing, writer)


def make_tail_pair(rng: Rng, cover: Image.Image, tail: Tail) -> list[Sample]:
    """Append a tail to the encoded cover; return stego image and twin."""
    return list(_raw_pair(rng, cover, tail))


def make_harmless(rng: Rng, cover: Image.Image, kind: str) -> Sample:
    """Encode the cover and append harmless bytes of one of `HARMLESS_KINDS`."""
    encoder = draw_any(rng, cover.mode, ("JPEG", "PNG", "GIF", "WEBP", "BMP"))
    if kind in DECLARED_KINDS:
        encoder, cover = draw_any(rng, "RGB", ("JPEG",)), cover.convert("RGB")
    return Sample(append_kind(rng, encoder.encode(cover), kind), "harmless", writer=kind)


def cut_off(rng: Rng, sample: Sample) -> Sample:
    """Truncate a file at a random place, like an incomplete download."""
    return replace(sample, data=sample.data[: int(len(sample.data) * rng.uniform(0.3, 0.98))], is_cut=True)


def _is_left(whole: Sample, cut: Sample) -> bool:
    """Return whether the truncated image still has the payload and its header."""
    if whole.method not in _CARRIERS:
        return False
    try:
        before, after = take_planes(whole.data), take_planes(cut.data, is_cut=True)
    except (OSError, ValueError):
        return False
    samples = 8 * (2 * len(whole.payload) + _LONGEST_HEADER)
    carrier = _CARRIERS[whole.method]
    return np.array_equal(before[carrier][:samples], after[carrier][:samples])


def draw_negative(rng: Rng) -> Sample:
    """Draw a clean file: a drawn picture in a random mode and format, often with harmless metadata."""
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


def make_written_pair(rng: Rng, cover: Image.Image, method: str, writing: Writing, writer: str) -> list[Sample]:
    """Hide written bytes in pixels; return stego image and twin, or an empty list if the bytes do not fit."""
    if len(writing.written) > capacity(cover, method) + 1:
        return []
    return list(_pixel_pair(rng, cover, method, writing, writer))


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
    yield replace(hidden, data=_encode_harmless(rng, encoder, stego, share=0.06))
    rng.bit_generator.state = state
    yield Sample(_encode_harmless(rng, encoder, cover, share=0.06), "twin", writer=hidden.writer)


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


def _terminated(rng: Rng, payload: bytes, binary: bool) -> Tail:
    # Some text lacks the zero byte. Ciphertext needs it: otherwise it resembles pieces of compressed data.
    written = embed_raw(b"", payload) if binary or rng.random() < 0.85 else payload
    return Tail(written, payload, binary, SPECIFICATION)


def _raw_pair(rng: Rng, cover: Image.Image, tail: Tail, original: bytes | None = None) -> Iterator[Sample]:
    """Append to the encoded cover, or to an unchanged original file."""
    encoder = draw_any(rng, cover.mode, ("JPEG", "PNG", "GIF", "WEBP", "BMP"))
    data = original or encoder.encode(cover, draw_exif(rng, with_comment=False) if rng.random() < 0.15 else None)
    carrier = declare_harmless(rng, data) if rng.random() < 0.06 and not tail.looks_declared else data
    yield Sample(carrier + tail.written, "raw", "raw", "none", tail.payload, tail.binary, tail.writer)
    yield Sample(append_harmless(rng, data) if rng.random() < 0.8 else data, "twin", writer=tail.writer)


def _encode_harmless(rng: Rng, encoder: Encoder, image: Image.Image, share: float) -> bytes:
    """Encode an image; add harmless EXIF and harmless trailing bytes, each with probability `share`."""
    exif = None
    # Pillow rotates a TIFF by its orientation tag, which changes the first pixel.
    if encoder.format in EXIF_FORMATS and encoder.format != "TIFF" and rng.random() < share:
        exif = draw_exif(rng, with_comment=bool(rng.random() < 0.7))
    data = encoder.encode(image, exif)
    if encoder.format != "TIFF" and rng.random() < share:
        data = append_harmless(rng, data)
    return data
