"""The messages of stego images: read from the bytes that were scored, and from no others."""

from collections.abc import Iterator

import pytest

from storage.settings import Settings
from tests.kit.detectors import STEGO, Widths
from tests.kit.pictures import encode_strip
from tests.kit.pipelines import Folder, run_pipeline, scan
from worker.scanning.chunk_loading import ChunkLoader
from worker.scanning.pipeline import Pipeline


def test_a_stego_image_gets_its_method_and_message(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores[3] = STEGO

    [verdict] = scan(pipeline, [folder.put(encode_strip(3, b"hello\0"))])

    assert (verdict.outcome, verdict.stego_probability) == ("stego", 0.75)
    assert (verdict.method, verdict.bit_order, verdict.extracted_message) == ("raw", "none", "hello")
    assert verdict.error_code is None


def test_a_long_message_is_cut(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores[3] = STEGO

    [verdict] = scan(pipeline, [folder.put(encode_strip(3, b"m" * 1000))])

    assert verdict.extracted_message == "m" * 10


def test_a_stego_image_without_a_message_is_stego_all_the_same(
    pipeline: Pipeline, folder: Folder, scorer: Widths
) -> None:
    scorer.scores[3] = STEGO

    [verdict] = scan(pipeline, [folder.put(encode_strip(3))])

    assert (verdict.outcome, verdict.extracted_message) == ("stego", None)


@pytest.fixture(scope="module")
def forgetful(shared_scorer: Widths, settings: Settings) -> Iterator[Pipeline]:
    """A pipeline that keeps no bytes until the images are judged."""
    with run_pipeline(shared_scorer, settings.model_copy(update={"kept_images_bytes": 1})) as pipeline:
        yield pipeline


def test_a_message_is_read_from_the_bytes_at_hand(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    uri = folder.put(encode_strip(3, b"hello\0"), "image")
    scorer.scores[3] = STEGO
    scorer.before = (folder.path / "image").unlink

    [verdict] = scan(pipeline, [uri])

    assert (verdict.outcome, verdict.extracted_message) == ("stego", "hello")


def test_a_message_is_read_from_bytes_that_were_not_kept(forgetful: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores[3] = STEGO

    [verdict] = scan(forgetful, [folder.put(encode_strip(3, b"hello\0"))])

    assert (verdict.outcome, verdict.extracted_message) == ("stego", "hello")


@pytest.mark.parametrize("becomes", [None, b"", b"no image", encode_strip(3, b"other\0")])
def test_a_message_is_read_only_from_the_bytes_that_were_scored(
    forgetful: Pipeline, folder: Folder, scorer: Widths, becomes: bytes | None
) -> None:
    uri = folder.put(encode_strip(3, b"hello\0"), "image")
    path = folder.path / "image"
    scorer.scores[3] = STEGO
    scorer.before = path.unlink if becomes is None else lambda: path.write_bytes(becomes)

    [verdict] = scan(forgetful, [uri])

    assert (verdict.outcome, verdict.method, verdict.extracted_message) == ("stego", "raw", None)


def test_a_verdict_stands_where_reading_its_message_fails(
    forgetful: Pipeline, folder: Folder, scorer: Widths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    scorer.scores[3] = STEGO
    monkeypatch.setattr(ChunkLoader, "load_again", fail)

    [verdict] = scan(forgetful, [folder.put(encode_strip(3, b"hello\0"))])

    assert (verdict.outcome, verdict.method, verdict.extracted_message) == ("stego", "raw", None)
