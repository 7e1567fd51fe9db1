"""Payloads as programs write them: headers around text, and all kinds of files; twins differ only by these."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from research.stego.archives import FILE_KINDS, make_file
from research.stego.corpus import open_image
from research.stego.covers import adapt
from research.stego.drawn import draw_picture
from research.stego.headers import (
    LENGTH_WRITERS,
    TEXT_WRITERS,
    WRITERS,
    draw_writing,
    largest_text,
    write_length,
)
from research.stego.pairs import PIXEL_WRITERS, make_tail_pair, make_wild_pair
from research.stego.tails import HEADED, MARKED, TAIL_WRITERS, draw_tail
from worker.v4.containers import find_trailing
from worker.v4.embedding import carrier_size
from worker.v4.extraction import PixelCarrier

LIBRARIES = {"7z": "py7zr", "zstd": "zstandard"}
STARTS = {
    "zip, stored": b"PK\x03\x04", "zip, deflated": b"PK\x03\x04", "zip, encrypted": b"PK\x03\x04", "7z": b"7z\xbc\xaf",
    "rar": b"Rar!\x1a\x07", "gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00", "zlib": b"x", "pdf": b"%PDF-",
    "zstd": b"(\xb5/\xfd", "png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "elf": b"\x7fELF", "exe": b"MZ",
}  # fmt: skip


def make(kind: str, seed: int, size: int = 200) -> bytes:
    if kind in LIBRARIES:
        pytest.importorskip(LIBRARIES[kind], reason="an extra of research")
    return make_file(np.random.default_rng(seed), kind, size)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_written_comes_from_the_seed_and_fits(writer: str) -> None:
    for seed in range(20):
        size = largest_text(writer, 600)
        one, same = (draw_writing(np.random.default_rng(seed), writer, size) for _ in range(2))
        assert one == same
        assert one.payload
        assert len(one.written) <= 600
        if writer in TEXT_WRITERS and writer not in ("base64", "wide characters"):
            assert one.payload in one.written


def test_lengths_are_as_their_names_say() -> None:
    assert write_length(300, 2, "big", "bytes") == b"\x01\x2c"
    assert write_length(300, 4, "little", "bits") == b"\x60\x09\x00\x00"
    assert len(LENGTH_WRITERS) == 12
    writing = draw_writing(np.random.default_rng(1), "length of 4 bytes, big-endian, in bits", 50)
    assert int.from_bytes(writing.written[:4], "big") == 8 * len(writing.payload)


@pytest.mark.parametrize("kind", sorted(FILE_KINDS))
def test_files_come_from_the_seed_and_start_as_their_kind_does(kind: str) -> None:
    for seed in range(4):
        assert make(kind, seed) == make(kind, seed)
        assert make(kind, seed).startswith(STARTS.get(kind, b""))


def test_archives_can_be_opened() -> None:
    assert zipfile.ZipFile(io.BytesIO(make("zip, deflated", 1))).testzip() is None
    assert all(info.flag_bits & 1 for info in zipfile.ZipFile(io.BytesIO(make("zip, encrypted", 1))).infolist())
    with tarfile.open(fileobj=io.BytesIO(make("tar", 1))) as archive:
        assert archive.getmembers()
    for kind, unpack in (
        ("gzip", gzip.decompress),
        ("bzip2", bz2.decompress),
        ("xz", lzma.decompress),
        ("zlib", zlib.decompress),
    ):
        assert unpack(make(kind, 2))
    for kind in ("png", "jpeg", "gif"):
        assert Image.open(io.BytesIO(make(kind, 3))).size


@pytest.mark.parametrize("writer", PIXEL_WRITERS)
@pytest.mark.parametrize("method", ["alpha", "palette", "lsb.rgb"])
def test_pairs_in_pixels_differ_by_what_is_written_alone(method: str, writer: str) -> None:
    if writer == "file":
        pytest.importorskip("py7zr", reason="an extra of research")
    rng = np.random.default_rng(4)
    for _ in range(3):
        cover = adapt(rng, draw_picture(rng, size=(90, 80)), method)
        pair = make_wild_pair(rng, cover, method, writer, largest=200)
        if not pair:
            continue
        stego, twin = pair
        assert (stego.method, stego.writer, twin.method) == (method, writer, None)
        image, other = open_image(stego.data), open_image(twin.data)
        # WebP leaves out alpha that is opaque everywhere.
        other = other if other.mode == image.mode else other.convert(image.mode)
        assert (np.asarray(image) >> 1 == np.asarray(other) >> 1).all()
        hidden = PixelCarrier(image, method, stego.bit_order).take(900)
        if writer in TEXT_WRITERS and writer not in ("base64", "wide characters"):
            assert stego.payload in hidden


def test_some_texts_fill_their_carrier_to_its_last_byte() -> None:
    rng = np.random.default_rng(6)
    free = []
    for _ in range(60):
        cover = adapt(rng, draw_picture(rng, size=(16, 16)), "alpha")
        stego = make_wild_pair(rng, cover, "alpha", "no end")[0]
        free.append(carrier_size(cover, "alpha") - len(stego.payload))

    assert min(free) >= 0
    assert 5 < free.count(0) < 40


@pytest.mark.parametrize("writer", TAIL_WRITERS)
def test_pairs_after_the_end_differ_by_what_is_appended(writer: str) -> None:
    if writer in LIBRARIES:
        pytest.importorskip(LIBRARIES[writer], reason="an extra of research")
    rng = np.random.default_rng(5)
    cover = draw_picture(rng, size=(40, 30))
    tail = draw_tail(rng, writer, 100)
    stego, twin = make_tail_pair(rng, cover, tail)
    assert bytes(find_trailing(stego.data)) == tail.written
    assert tail.payload in tail.written
    assert tail.binary == (writer in (MARKED, HEADED) or not (writer.startswith("text") or writer == "script"))
    assert (stego.method, twin.method) == ("raw", None)
    assert not bytes(find_trailing(twin.data)).endswith(tail.written)


def test_a_footer_names_the_size_of_the_text_before_it() -> None:
    tails = [draw_tail(np.random.default_rng(seed), "text before a footer", 300) for seed in range(40)]

    sizes = [
        any(len(tail.payload).to_bytes(2, order) in tail.written[len(tail.payload) :] for order in ("big", "little"))
        for tail in tails
    ]
    assert all(tail.written.startswith(tail.payload) and tail.written != tail.payload for tail in tails)
    assert sum(sizes) > 30


def test_marked_ciphertext_begins_with_what_a_program_searches_for() -> None:
    tails = [draw_tail(np.random.default_rng(seed), MARKED, 200).written for seed in range(40)]

    assert all(b"END" in tail[200:] for tail in tails)
    assert len({tail[:8] for tail in tails}) > 20


def test_headed_ciphertext_has_its_length_among_its_first_bytes() -> None:
    for seed in range(40):
        written = draw_tail(np.random.default_rng(seed), HEADED, 200).written
        sizes = [size * unit for size in range(200, 240) for unit in (1, 8)]
        lengths = [size.to_bytes(2, order) for size in sizes for order in ("big", "little")]
        assert any(length in written[:24] for length in lengths)
