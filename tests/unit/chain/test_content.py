"""The content of inscriptions: compressed or not, an image or not, and within limits."""

import gzip
import random
import zlib

import brotli
import pytest

from producer.chain.content import PIECE_BYTES, DecompressionBudget, open_content
from storage.image_signatures import find_format
from tests.kit.pictures import MODES, encode_pattern

PICTURE = encode_pattern()
LARGE = PICTURE + bytes(10 * PIECE_BYTES)


def open_all(body: bytes, encoding: bytes, max_bytes: int = 2**30) -> bytes | None:
    """Return the inscribed content if it is an image, else None."""
    pieces = open_content(body, encoding, DecompressionBudget(max_bytes, 60.0))
    return None if pieces is None else b"".join(pieces)


@pytest.mark.parametrize("encoding", [b"br", b"gzip", b"deflate", b"", b"zstd"])
def test_images_are_unpacked_in_pieces(encoding: bytes) -> None:
    packers = {b"br": brotli.compress, b"gzip": gzip.compress, b"deflate": zlib.compress}
    for image in (PICTURE, LARGE, PICTURE + bytes(PIECE_BYTES)):
        body = packers.get(encoding, bytes)(image)
        pieces = open_content(body, encoding, DecompressionBudget(2**30, 60.0))

        assert pieces is not None
        found = list(pieces)
        assert b"".join(found) == image
        assert max(map(len, found)) <= PIECE_BYTES + 16


def test_formats_that_are_judged_are_images_whatever_their_type_says() -> None:
    for name in MODES:
        image = encode_pattern(name)
        assert open_all(image, b"") == image
        assert find_format(image) == name
    for text in (
        b"",
        b"hello",
        b"<svg/>",
        b"BMW drives by, and the moon shines",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x89PN",
        b"GIF88a",
    ):
        assert open_all(text, b"") is None
        assert open_all(brotli.compress(text), b"br") is None


def test_packing_that_is_damaged_or_claimed_hides_no_image() -> None:
    noise = PICTURE + random.Random(1).randbytes(3 * PIECE_BYTES)
    for name, pack in (("br", brotli.compress), ("gzip", gzip.compress), ("deflate", zlib.compress)):
        packed = pack(noise)
        half = len(packed) // 2
        for damaged in (packed[:half], packed[:half] + bytes(len(packed) - half)):
            found = open_all(damaged, name.encode())
            assert found is not None
            assert found.startswith(noise[: half - PIECE_BYTES])
    for encoding in (b"br", b"gzip", b"deflate"):
        assert open_all(PICTURE, encoding) == PICTURE
    # The first bytes come one by one.
    compressor = brotli.Compressor()
    slow = b"".join(compressor.process(PICTURE[at : at + 1]) + compressor.flush() for at in range(len(PICTURE)))
    assert open_all(slow + compressor.finish(), b"br") == PICTURE


def test_what_unpacks_to_more_than_all_may_is_refused_and_what_is_not_packed_is_not() -> None:
    budget = DecompressionBudget(len(LARGE) + PIECE_BYTES, 60.0)
    first, second, plain = (
        open_content(body, encoding, budget)
        for body, encoding in ((brotli.compress(LARGE), b"br"), (brotli.compress(LARGE), b"br"), (LARGE, b""))
    )
    assert first is not None
    assert second is not None
    assert plain is not None

    assert b"".join(first) == LARGE
    with pytest.raises(ValueError, match="more decompressed bytes"):
        list(second)
    assert b"".join(plain) == LARGE
    # Discarded bytes are not counted, but the time is.
    with pytest.raises(ValueError, match="the processor time"):
        open_content(brotli.compress(b"text"), b"br", DecompressionBudget(2**30, 0.0))
