"""Samplers of training and validation data."""

import re
from pathlib import Path

import numpy as np
import pytest

from research.stego.corpus import find_images, open_image
from research.stego.covers import adapt
from research.stego.drawn import PICTURE_NAMES, draw_picture
from research.stego.encoders import Encoder
from research.stego.metadata import draw_comment, draw_exif
from research.stego.pairs import make_pair
from research.stego.payloads import TEXT_NAMES, draw_binary, draw_text
from research.stego.planes import take_planes
from research.stego.sample_source import SampleSource
from research.stego.trailers import append_harmless, append_kind, draw_trailing
from research.training.shards import CLEAN, UNKNOWN, make_shard
from starlight_vocabulary.words import METHODS
from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.extraction import read_payload_bytes
from worker.v4.planes import MODES


@pytest.mark.parametrize("kind", TEXT_NAMES)
@pytest.mark.parametrize("size", [4, 5, 16, 300, 4096])
def test_texts_are_utf8_of_the_size_and_have_no_zero(kind: str, size: int) -> None:
    for seed in range(8):
        text = draw_text(np.random.default_rng(seed), size, kind)
        assert size - 3 <= len(text) <= size
        assert text.decode()
        assert b"\x00" not in text


def test_binary_payloads_have_the_size() -> None:
    rng = np.random.default_rng(1)
    assert [len(draw_binary(rng, size)) for size in range(4, 300)] == list(range(4, 300))


@pytest.mark.parametrize("kind", PICTURE_NAMES)
def test_pictures_have_the_size_and_come_from_the_seed(kind: str) -> None:
    one, same, other = (draw_picture(np.random.default_rng(seed), kind, (37, 21)) for seed in (3, 3, 4))
    assert one.size == (37, 21)
    assert one.mode == "RGB"
    assert one.tobytes() == same.tobytes()
    assert kind == "flat" or one.tobytes() != other.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_differs_by_its_payload_alone(method: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        cover = adapt(rng, draw_picture(rng, size=(60, 50)), method)
        stego, twin = make_pair(rng, cover, method, b"the payload", binary=False)
        assert (stego.method, twin.method) == (method, None)
        image, other = open_image(stego.data), open_image(twin.data)
        # A twin may contain an index of several pictures; Pillow calls such a JPEG an MPO.
        assert {image.format, other.format} in ({image.format}, {"JPEG", "MPO"})
        assert (image.mode, image.size) == (other.mode, other.size)
        assert read_payload_bytes(image, stego.data, method, stego.bit_order, 100) == b"the payload"
        if method in ("exif", "raw"):
            assert image.tobytes() == other.tobytes()
        else:
            assert (np.asarray(image) >> 1 == np.asarray(other) >> 1).all()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("other", "I", "F", "I;16", "HSV", "LAB")])
@pytest.mark.parametrize("method", METHODS)
def test_covers_of_every_mode_are_adapted(mode: str, method: str) -> None:
    cover = adapt(np.random.default_rng(0), draw_noise(mode), method)
    allowed = {"alpha": {"RGBA", "LA"}, "palette": {"P"}, "lsb.rgb": {"RGB", "RGBA"}}
    assert cover.mode in allowed.get(method, {"RGB", "RGBA", "L", "P"})


def test_many_cut_frames_are_long_pieces_of_scans_that_end_in_a_zero() -> None:
    pieces = [append_kind(np.random.default_rng(seed), b"", "cut video frame") for seed in range(200)]
    long = [piece for piece in pieces if len(piece) >= 256 and piece.endswith(b"\x00")]

    assert 20 < len(long) < 60
    assert sum(2 <= piece.count(b"\xff") == piece.count(b"\xff\x00") for piece in long) > 0.9 * len(long)
    assert sum(piece.endswith(b"\x00") for piece in pieces) < len(long) + 5


def test_harmless_metadata_leaves_files_readable() -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        data = encode(draw_noise("RGB", 9, 9), "JPEG", exif=draw_exif(rng, with_comment=True).tobytes())
        assert decode(data + draw_trailing(rng, data)).size == (9, 9)
        assert decode(append_harmless(rng, data)).size == (9, 9)
        assert len(draw_comment(rng)) < 65_000


def test_a_progressive_jpeg_of_noise_is_encoded() -> None:
    noise = draw_noise("RGB", 512, 512)
    encoder = Encoder("JPEG", (("quality", 84), ("subsampling", 0), ("progressive", True)))
    assert decode(encoder.encode(noise)).size == noise.size


def test_a_shard_comes_from_its_seed_and_number_alone() -> None:
    first = make_shard(SampleSource(None), seed=1, number=3, size=40)
    used = SampleSource(None)
    make_shard(used, seed=1, number=2, size=10)
    again, other = (make_shard(used, seed=1, number=number, size=40) for number in (3, 4))
    assert (first.method == again.method).all()
    assert all((a["rgb"] == b["rgb"]).all() for a, b in zip(first.planes, again.planes, strict=True))
    assert not all((a["rgb"] == b["rgb"]).all() for a, b in zip(first.planes, other.planes, strict=True))
    assert (first.order[first.method == CLEAN] == UNKNOWN).all()


def test_a_corpus_is_found_by_walking_or_by_manifest(tmp_path: Path) -> None:
    for name in ("one/a.png", "one/deep/b.jpg", "two/c.gif", "two/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            encode(draw_noise("P" if name.endswith("gif") else "RGB"), "GIF" if name.endswith("gif") else "PNG")
        )
    walked = find_images(tmp_path)
    assert {name: len(paths) for name, paths in walked.sources.items()} == {"one": 2, "two": 1}
    (tmp_path / "manifest.csv").write_text("path,licence\ntwo/c.gif,CC0-1.0\n")
    assert find_images(tmp_path).paths == [tmp_path / "two/c.gif"]
    kinds = {sample.kind for _ in range(30) for sample in SampleSource(walked).draw(np.random.default_rng(7))}
    assert kinds
    planes = make_shard(SampleSource(walked), seed=1, number=0, size=20).planes
    assert len(planes) == 20


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images below"):
        find_images(tmp_path)


def test_planes_of_all_samples_are_taken() -> None:
    rng = np.random.default_rng(8)
    source = SampleSource(None)
    for _ in range(20):
        for sample in source.draw(rng):
            take_planes(sample.data, is_cut=sample.is_cut)


def test_some_harmless_comments_name_a_design_as_canva_does() -> None:
    comments = [draw_comment(np.random.default_rng(seed)) for seed in range(400)]

    designs = [comment for comment in comments if b"xr:d:" in comment]
    assert len(designs) > 3
    assert all(re.search(rb"xr:d:DA[EFG][\w-]{8}:\d+,j:\d{19},t:\d{8}\x00*$", comment) for comment in designs)
