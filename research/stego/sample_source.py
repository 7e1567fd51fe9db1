"""Draws samples for training: shares of methods, of writers, of clean and of truncated files."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image

from research.stego.corpus import Corpus
from research.stego.covers import CoverSource
from research.stego.encoders import draw_lossless
from research.stego.negatives import draw_negative, encode_harmless
from research.stego.pairs import (
    PIXEL_WRITERS,
    draw_specified_tail,
    make_pair,
    make_tail_pair,
    make_wild_pair,
)
from research.stego.payloads import SHORTEST, draw_binary, draw_size, draw_text
from research.stego.samples import Sample, cut_off, has_payload_left
from research.stego.tails import HEADED, TAIL_WRITERS, draw_tail, draw_unknown_file
from starlight_vocabulary.words import METHODS
from worker.v4.containers import find_trailing
from worker.v4.embedding import capacity

Rng = np.random.Generator

_METHOD_SHARES: Final = np.array([0.12, 0.20, 0.27, 0.11, 0.30])
_WILD_SHARE: Final = {"alpha": 0.55, "palette": 0.5, "lsb.rgb": 0.6, "exif": 0.0, "raw": 0.65}
"""Share of the payloads that do not follow the specification."""
_WEIGHTS: Final = {"no end": 3.0, "end mark": 2.0, "decimal length": 2.5, "magic": 3.0, "file name": 2.5, "base64": 2.5,
                   "digest": 3.5, "wide characters": 3.0, "ciphertext behind a length": 3.0,
                   "deflated behind a length": 2.0, "deflated": 1.5, "file": 3.0}  # fmt: skip
# Writers that the network learns slowly are drawn more often.
_TAIL_WEIGHTS: Final = {"text without a zero": 4.0, "text with newlines": 3.0, "text before a footer": 2.0, "pgp": 3.0,
                        "png": 4.0, "zlib": 3.0, "zstd": 2.0, "gif": 3.0, "jpeg": 3.0, "gzip": 1.5, "elf": 2.0,
                        "exe": 3.0, "tar": 2.0, HEADED: 2.0}  # fmt: skip
_UNKNOWN_FILES: Final = 0.08
"""Share of appended files that have nothing but the signature of a known format."""
_CUT_SHARE: Final = 0.05
"""Share of the files that are truncated."""
_SHARES: Final = np.array([_WEIGHTS.get(writer, 0.8) for writer in PIXEL_WRITERS])
_TAIL_SHARES: Final = np.array([_TAIL_WEIGHTS.get(writer, 1.0) for writer in TAIL_WRITERS])
_BINARY_SHARE: Final = {"alpha": 0.12, "palette": 0.10, "lsb.rgb": 0.06, "exif": 0.06, "raw": 0.3}


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
            if sample.method is None or has_payload_left(sample, cut):
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
            yield Sample(encode_harmless(rng, draw_lossless(rng, cover.mode), cover, share=0.06), "twin")
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
            yield from make_tail_pair(rng, cover, draw_specified_tail(rng, payload, binary), original)
        else:
            yield from make_pair(rng, cover, method, payload, binary)

    def _wild_pair(self, rng: Rng, cover: Image.Image, method: str) -> Iterator[Sample]:
        """Draw a pair whose payload does not follow the specification."""
        if method == "raw" and rng.random() < _UNKNOWN_FILES:
            yield from make_tail_pair(rng, cover, draw_unknown_file(rng, int(2 ** rng.uniform(4, 11.5))))
            return
        if method == "raw":
            writer = TAIL_WRITERS[rng.choice(len(TAIL_WRITERS), p=_TAIL_SHARES / _TAIL_SHARES.sum())]
            tail = draw_tail(rng, writer, int(2 ** rng.uniform(4, 11.5)))
            yield from make_tail_pair(rng, cover, tail, self._original(rng) if rng.random() < 0.35 else None)
            return
        writer = PIXEL_WRITERS[rng.choice(len(PIXEL_WRITERS), p=_SHARES / _SHARES.sum())]
        yield from make_wild_pair(rng, cover, method, writer) or [draw_negative(rng)]

    def _original(self, rng: Rng) -> bytes | None:
        """Draw a file of the corpus without trailing bytes; None if the drawn one has some or is a TIFF."""
        if self._corpus is None:
            return None
        data = self._corpus.draw(rng).read_bytes()
        return None if len(find_trailing(data)) or data.startswith((b"II*", b"MM\x00*")) else data
