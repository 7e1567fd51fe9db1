"""Damaged images that can be decoded in part: V4 judges this part."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from producer.sources.expansion import refer_to_file
from research.stego.drawn import draw_picture
from starlight_vocabulary.words import ErrorCode, Outcome
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.pictures import encode, encode_png_chunk
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.pipeline import Pipeline
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.embedding import embed_lsb

MESSAGE = "Meet me at seven at the old bridge."


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), decode_processes=1)
    pipeline = Pipeline(Detector.load(DEFAULT_MODEL), 1, settings)
    pipeline.start()
    yield pipeline
    pipeline.stop()


@pytest.fixture(scope="module")
def clean() -> bytes:
    return encode(draw_picture(np.random.default_rng(1), "photo", (64, 48)))


@pytest.fixture(scope="module")
def stego() -> bytes:
    cover = draw_picture(np.random.default_rng(1), "photo", (64, 48))
    return encode(embed_lsb(cover, MESSAGE.encode() + b"\0", "lsb-first"))


def cut(data: bytes) -> bytes:
    """Return the file, cut within its last rows."""
    return data[: int(0.9 * len(data))]


def spoil_checksum(data: bytes) -> bytes:
    """Return the file with a changed byte in a chunk that is not read, and the old checksum."""
    end = data.index(b"IDAT") - 4
    known = encode_png_chunk(b"teSt", b"hello")
    at = known.index(b"teSt") - 4
    return data[:end] + known[at : known.index(b"IDAT") - 4].replace(b"hello", b"jello") + data[end:]


def scan(pipeline: Pipeline, folder: Path, data: bytes) -> NewVerdict:
    path = folder / "image"
    path.write_bytes(data)
    (verdict,) = start_thread(pipeline.scan, [(0, refer_to_file(os.fsencode(path)))]).result(PATIENCE_S)
    return verdict


@pytest.mark.parametrize("damage", [cut, spoil_checksum])
def test_what_is_hidden_in_a_damaged_image_is_found_and_read(
    pipeline: Pipeline, tmp_path: Path, stego: bytes, damage: Callable[[bytes], bytes]
) -> None:
    verdict = scan(pipeline, tmp_path, damage(stego))

    assert (verdict.outcome, verdict.method, verdict.extracted_message) == (Outcome.STEGO, "lsb.rgb", MESSAGE)
    assert verdict.error_code is None
    assert str(verdict.error_detail).startswith("the image is damaged: ")


@pytest.mark.parametrize(("damage", "code"), [(cut, ErrorCode.TRUNCATED), (spoil_checksum, ErrorCode.CORRUPT)])
def test_a_damaged_image_in_which_nothing_is_found_is_an_error(
    pipeline: Pipeline, tmp_path: Path, clean: bytes, damage: Callable[[bytes], bytes], code: ErrorCode
) -> None:
    verdict = scan(pipeline, tmp_path, damage(clean))

    assert (verdict.outcome, verdict.error_code) == (Outcome.ERROR, code)
    assert verdict.stego_probability is None


def test_much_text_is_no_damage(pipeline: Pipeline, tmp_path: Path, clean: bytes) -> None:
    end = clean.index(b"IDAT") - 4
    texted = encode_png_chunk(b"tEXt", b"name\0" + 15 * 2**20 * b"a")
    chunk = texted[texted.index(b"tEXt") - 4 : texted.index(b"IDAT") - 4]

    assert scan(pipeline, tmp_path, clean[:end] + chunk + clean[end:]).outcome is Outcome.CLEAN
