"""The pipeline of one process: one verdict for each reference, in order, also beside bad images."""

import hashlib
import os
import threading

import pytest

from starlight_vocabulary.words import ErrorCode, Outcome
from storage.blobs import Blobs
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.detectors import Widths
from tests.kit.pictures import (
    FORMATS_AND_MODES,
    encode_blank_gif,
    encode_blank_png,
    encode_pattern,
    encode_strip,
    encode_truncated,
)
from tests.kit.pipelines import MODEL_ID, Folder, run_pipeline, scan
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.chunk_scan import make_storable
from worker.scanning.pipeline import Pipeline
from worker.v4.detector import Score

FOR_EVER_MS = 3_600_000.0


def test_a_clean_image_gets_a_verdict_with_all_that_is_known(pipeline: Pipeline, folder: Folder) -> None:
    data = encode_pattern("JPEG", size=(9, 5))
    uri = folder.put(data)

    [verdict] = scan(pipeline, [uri], first=41)

    assert verdict == NewVerdict(
        ordinal=41,
        uri=uri,
        outcome=Outcome.CLEAN,
        sha256=hashlib.sha256(data).digest(),
        stego_probability=0.25,
        model_id=MODEL_ID,
        width=9,
        height=5,
        format="JPEG",
        size_bytes=len(data),
    )


@pytest.mark.parametrize(("format", "mode"), FORMATS_AND_MODES)
def test_pictures_of_every_kind_are_scored(pipeline: Pipeline, folder: Folder, format: str, mode: str) -> None:  # noqa: A002
    uris = [folder.put(encode_pattern(format, mode, size)) for size in ((1, 1), (40, 3))]

    assert [verdict.outcome for verdict in scan(pipeline, uris)] == ["clean", "clean"]


def test_each_bad_image_gets_its_code_and_its_neighbours_are_scanned(
    pipeline: Pipeline, folder: Folder, scorer: Widths, settings: Settings
) -> None:
    scorer.scores[13] = RuntimeError("poison \0 here")
    (folder.path / "subfolder").mkdir()
    (folder.path / "subfolder" / "loop").symlink_to("..")
    os.mkfifo(folder.path / "pipe")
    (folder.path / "itself").symlink_to("itself")
    here = folder.path.as_uri()
    corrupt = bytearray(encode_pattern(size=(64, 64)))
    corrupt[corrupt.index(b"IDAT") + 4] ^= 0xFF
    bad = {
        f"{here}/vanished": ErrorCode.NOT_FOUND,
        f"{here}/itself": ErrorCode.NOT_READABLE,
        f"{here}/{'n' * 256}": ErrorCode.NOT_READABLE,
        f"{here}/subfolder": ErrorCode.NOT_A_FILE,
        f"{here}/pipe": ErrorCode.NOT_A_FILE,
        "file:///dev/zero": ErrorCode.NOT_A_FILE,
        f"{here}/subfolder/loop": ErrorCode.DIRECTORY_LOOP,
        "gopher://host/key": ErrorCode.UNSUPPORTED_URI,
        f"{here}/archive.zip#member": ErrorCode.BAD_ARCHIVE_MEMBER,
        f"blob://{'0' * 64}/gone": ErrorCode.NOT_FOUND,
        f"blob://{Blobs(settings.blobs()).put(b'')}/empty": ErrorCode.EMPTY,
        folder.put(b""): ErrorCode.EMPTY,
        folder.put(bytes(settings.max_image_bytes + 1)): ErrorCode.TOO_LARGE,
        folder.put(b"no image"): ErrorCode.UNKNOWN_FORMAT,
        folder.put(encode_blank_png(10_000, 10_000)): ErrorCode.TOO_MANY_PIXELS,
        folder.put(encode_blank_gif((1, 1), (60_000, 60_000))): ErrorCode.TOO_MANY_PIXELS,
        folder.put(encode_truncated()): ErrorCode.TRUNCATED,
        folder.put(bytes(corrupt)): ErrorCode.CORRUPT,
        folder.put(encode_strip(13)): ErrorCode.SCAN_FAILED,
    }
    good = folder.put(encode_strip(5))
    uris = [uri for each in bad for uri in (good, each)] + [good]

    verdicts = scan(pipeline, uris, first=100)

    assert [verdict.ordinal for verdict in verdicts] == list(range(100, 100 + len(uris)))
    assert [verdict.uri for verdict in verdicts] == uris
    assert {verdict.outcome for verdict in verdicts[0::2]} == {"clean"}
    assert {verdict.uri: verdict.error_code for verdict in verdicts[1::2]} == bad
    for verdict in verdicts[1::2]:
        assert verdict.outcome == "error"
        assert verdict.stego_probability is None
        assert verdict.error_detail
        assert "\0" not in verdict.error_detail


def test_what_is_known_of_a_bad_image_stands_in_its_verdict(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores[13] = RuntimeError("poison")
    undecoded, unscored = b"no image", encode_strip(13)

    first, second = scan(pipeline, [folder.put(undecoded), folder.put(unscored)])

    assert (first.sha256, first.size_bytes) == (hashlib.sha256(undecoded).digest(), len(undecoded))
    assert (first.width, first.height, first.format, first.model_id) == (None, None, None, None)
    assert (second.sha256, second.size_bytes) == (hashlib.sha256(unscored).digest(), len(unscored))
    assert (second.width, second.height, second.format, second.model_id) == (13, 1, "PNG", MODEL_ID)
    assert second.error_detail == "RuntimeError: poison"


@pytest.mark.parametrize("uri", ["http://[", "blob://../x", "blob:///x"])
def test_a_reference_that_is_no_uri_harms_itself_alone(pipeline: Pipeline, folder: Folder, uri: str) -> None:
    good = folder.put(encode_strip(5))

    assert [verdict.outcome for verdict in scan(pipeline, [good, uri, good])] == ["clean", "error", "clean"]


def test_an_animation_of_ten_thousand_frames_is_one_image(pipeline: Pipeline, folder: Folder) -> None:
    [verdict] = scan(pipeline, [folder.put(encode_blank_gif((1, 1), frames=10_000))])

    assert (verdict.outcome, verdict.format, verdict.width, verdict.height) == ("clean", "GIF", 1, 1)


def test_nothing_to_scan_gives_no_verdicts(pipeline: Pipeline) -> None:
    assert scan(pipeline, []) == []


def test_many_images_keep_their_order(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores = {width: Score(False, width / 1000, 1 - width / 1000, None, None) for width in range(1, 201)}
    uris = [folder.put(encode_strip(width)) for width in range(1, 201)]

    verdicts = scan(pipeline, uris)

    assert [verdict.stego_probability for verdict in verdicts] == [width / 1000 for width in range(1, 201)]
    assert [verdict.width for verdict in verdicts] == list(range(1, 201))


def test_images_of_several_chunks_join_one_batch(settings: Settings, folder: Folder, scorer: Widths) -> None:
    uris = [folder.put(encode_strip(width)) for width in (1, 2, 3, 4)]

    with run_pipeline(scorer, settings.model_copy(update={"batch_wait_ms": FOR_EVER_MS})) as patient:
        chunks = [start_thread(patient.scan, list(enumerate(uris[part : part + 2]))) for part in (0, 2)]
        widths = [[verdict.width for verdict in chunk.result(PATIENCE_S)] for chunk in chunks]

    assert widths == [[1, 2], [3, 4]]
    assert scorer.sizes == [4]


def test_images_larger_than_the_memory_budget_are_scanned_one_by_one(settings: Settings, folder: Folder) -> None:
    limits = {"decode_budget_bytes": 1, "decode_processes": 4}
    bad = folder.put(encode_truncated())
    uris = [folder.put(encode_strip(width)) if width % 3 else bad for width in range(1, 31)]

    with run_pipeline(Widths(), settings.model_copy(update=limits)) as pipeline:
        verdicts = scan(pipeline, uris)

    assert [verdict.outcome for verdict in verdicts] == ["clean" if width % 3 else "error" for width in range(1, 31)]


def test_closing_ends_every_thread(settings: Settings, folder: Folder) -> None:
    before = threading.active_count()

    with run_pipeline(Widths(), settings) as pipeline:
        pipeline.scan([(width, folder.put(encode_strip(width))) for width in range(1, 9)])
        assert threading.active_count() > before

    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("Grüße, 世界 🌍", "Grüße, 世界 🌍"),
        ("a\0b", "a␀b"),
        ("\ud800 half", "? half"),
        ("both \udcff\0", "both ?␀"),
        ("\x1b[31m\r\n\t", "\x1b[31m\r\n\t"),
        ("", ""),
    ],
)
def test_text_loses_only_what_postgresql_cannot_hold(text: str, stored: str) -> None:
    assert make_storable(text) == stored
    make_storable(text).encode()
