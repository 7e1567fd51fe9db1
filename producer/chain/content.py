"""Decoding the content of inscriptions within limits. Images are recognised by their first bytes, not by their type."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from time import process_time
from typing import Final

import brotli

from storage.image_signatures import HEAD_BYTES, find_format

PIECE_BYTES: Final = 64 * 2**10
# Brotli yields nothing for the piece that has the damage, so pieces are small.
DAMAGE_BYTES: Final = 16

_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class DecompressionBudget:
    """What the compressed images of one block may still use: decompressed bytes, and seconds of processor time."""

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self._left_bytes = max_bytes
        self._left_s = max_seconds

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the processor time of a `with` block; raises ValueError if none is left."""
        if self._left_s <= 0:
            raise ValueError("the processor time for decompression is used up")
        started = process_time()
        try:
            yield
        finally:
            self._left_s -= process_time() - started

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces; raises ValueError when the budget is used up."""
        while True:
            with self.timing():
                piece = next(pieces, None)
            if piece is None:
                return
            self._left_bytes -= len(piece)
            if self._left_bytes < 0:
                raise ValueError("more decompressed bytes than allowed")
            yield piece


def open_content(body: bytes, encoding: bytes, budget: DecompressionBudget) -> Iterator[bytes] | None:
    """Return the bytes of an image piece by piece, or None if the content is not an image.

    If the compressed data is damaged, the bytes before the damage are returned. This call and the iterator raise
    ValueError when the budget is used up.
    """
    if encoding in _DECODERS:
        with budget.timing():
            unpacked = _open_image(_DECODERS[encoding](cut(body)))
        if unpacked is not None:
            return budget.count(unpacked)
    # The declared encoding may be wrong: the content may be an image as it is.
    return _open_image(cut(body))


def _open_image(pieces: Iterator[bytes]) -> Iterator[bytes] | None:
    head = b""
    while len(head) < HEAD_BYTES and (piece := next(pieces, None)) is not None:
        head += piece
    return chain((head,), pieces) if find_format(head) else None


def cut(whole: bytes, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield the bytes in pieces of one size."""
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


def _decode_brotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = brotli.Decompressor()
    try:
        for piece in (small for large in pieces for small in cut(large, DAMAGE_BYTES)):
            unpacked = decompressor.process(piece, output_buffer_limit=PIECE_BYTES)
            # Output may be left even if the decompressor accepts more input.
            while unpacked or not decompressor.can_accept_more_data():
                yield from cut(unpacked)
                unpacked = decompressor.process(b"", output_buffer_limit=PIECE_BYTES)
    except brotli.error:
        return


def _decode_deflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for piece in pieces:
            unpacked = decompressor.decompress(piece, PIECE_BYTES)
            # Output may be left even if all input is consumed.
            while unpacked or decompressor.unconsumed_tail:
                yield unpacked
                unpacked = decompressor.decompress(decompressor.unconsumed_tail, PIECE_BYTES)
    except zlib.error:
        return


_DECODERS: Final = {b"br": _decode_brotli, b"gzip": _decode_deflate, b"deflate": _decode_deflate}
