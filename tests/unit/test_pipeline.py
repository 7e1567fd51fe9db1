"""The pipeline of one process: one verdict for each reference, in order, also beside bad images."""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from producer.sources.expansion import refer_to_file
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.blobs import Blobs
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.detectors import STEGO, Widths
from tests.kit.pictures import (
    FORMATS_AND_MODES,
    encode_blank_gif,
    encode_blank_png,
    encode_pattern,
    encode_strip,
    encode_truncated,
)
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.chunk_loading import ChunkLoader
from worker.scanning.chunk_scan import make_storable
from worker.scanning.pipeline import Pipeline
from worker.v4.detector import Score

MODEL_ID = 7
MAX_BYTES = 500_000
FOR_EVER_MS = 3_600_000.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        max_image_bytes=MAX_BYTES,
        max_image_pixels=10_000,
        decode_budget_bytes=100_000,
        decode_processes=1,
        batch_size=4,
        batch_wait_ms=1,
        max_message_bytes=10,
    )


@pytest.fixture(scope="module")
def shared_scorer() -> Widths:
    """The scorer of the module's shared pipelines; a new pipeline would have to start a process."""
    return Widths()


@pytest.fixture
def scorer(shared_scorer: Widths) -> Widths:
    """The shared scorer, reset."""
    vars(shared_scorer).update(vars(Widths()))
    return shared_scorer


@pytest.fixture(scope="module")
def shared_pipeline(shared_scorer: Widths, settings: Settings) -> Iterator[Pipeline]:
    pipeline = Pipeline(shared_scorer, MODEL_ID, settings)
    pipeline.start()
    yield pipeline
    pipeline.stop()


@pytest.fixture
def pipeline(shared_pipeline: Pipeline, scorer: Widths) -> Pipeline:
    """The shared pipeline, with its scorer reset."""
    del scorer
    return shared_pipeline


class Folder:
    """A folder whose files are written as they are referred to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def put(self, data: bytes, name: str | None = None) -> str:
        path = self.path / (name or str(len(list(self.path.iterdir()))))
        path.write_bytes(data)
        return refer_to_file(os.fsencode(path))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "folder")


def scan(pipeline: Pipeline, uris: Sequence[str], first: int = 0) -> list[NewVerdict]:
    return start_thread(pipeline.scan, list(enumerate(uris, first))).result(PATIENCE_S)


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
    pipeline = Pipeline(shared_scorer, MODEL_ID, settings.model_copy(update={"kept_images_bytes": 1}))
    pipeline.start()
    yield pipeline
    pipeline.stop()


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
        folder.put(bytes(MAX_BYTES + 1)): ErrorCode.TOO_LARGE,
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


def test_the_same_image_twice_gets_two_verdicts(pipeline: Pipeline, folder: Folder) -> None:
    uri = folder.put(encode_strip(5))

    verdicts = scan(pipeline, [uri, uri])

    assert [(verdict.ordinal, verdict.outcome) for verdict in verdicts] == [(0, "clean"), (1, "clean")]


@dataclass
class Memory:
    """Stored verdicts by digest, and the digests that were looked up."""

    stored: dict[bytes, NewVerdict] = field(default_factory=dict)
    asked: list[tuple[set[bytes], float | None]] = field(default_factory=list)

    def recall(self, digests: Sequence[bytes], threshold: float | None, submitter: str) -> dict[bytes, NewVerdict]:
        self.asked.append((set(digests), threshold))
        return {digest: self.stored[digest] for digest in digests if digest in self.stored}


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def recalling(scorer: Widths, settings: Settings, memory: Memory) -> Iterator[Pipeline]:
    pipeline = Pipeline(scorer, MODEL_ID, settings, memory.recall)
    pipeline.start()
    yield pipeline
    pipeline.stop()


def test_bytes_that_the_model_has_judged_before_keep_their_verdict_and_v4_is_not_asked(
    recalling: Pipeline, folder: Folder, scorer: Widths, memory: Memory
) -> None:
    known, new = encode_strip(3), encode_strip(4)
    digest = hashlib.sha256(known).digest()
    stored = NewVerdict(
        99, "file:///elsewhere", Outcome.STEGO, digest, 0.9, Method.RAW, BitOrder.NONE, "hello", model_id=MODEL_ID
    )
    memory.stored[digest] = stored
    uris = [folder.put(known), folder.put(new)]

    first, second = start_thread(recalling.scan, list(enumerate(uris)), 0.7).result(PATIENCE_S)

    assert first == replace(stored, ordinal=0, uri=uris[0], reused=True)
    assert (second.outcome, second.reused) == ("clean", False)
    assert memory.asked == [({digest, hashlib.sha256(new).digest()}, 0.7)]
    assert sum(scorer.sizes) == 1


def test_the_same_bytes_many_times_in_a_chunk_are_scored_once(
    recalling: Pipeline, folder: Folder, scorer: Widths, memory: Memory
) -> None:
    scorer.scores[3] = STEGO
    same, other, broken = encode_strip(3, b"hello\0"), encode_strip(4), encode_truncated()
    # More than one group, so that later groups contain the bytes of earlier ones.
    uris = [folder.put(data) for data in [same, other, broken] + 200 * [same, broken]]

    verdicts = scan(recalling, uris)

    assert [verdict.uri for verdict in verdicts] == uris
    assert [verdict.ordinal for verdict in verdicts] == list(range(len(uris)))
    assert [verdict.outcome for verdict in verdicts] == ["stego", "clean", "error"] + 200 * ["stego", "error"]
    assert [verdict.reused for verdict in verdicts] == [False, False, False] + 200 * [True, False]
    assert {verdict.extracted_message for verdict in verdicts if verdict.outcome == "stego"} == {"hello"}
    assert sum(scorer.sizes) == 3
    assert set.union(*(digests for digests, _ in memory.asked)) == {
        hashlib.sha256(data).digest() for data in (same, other, broken)
    }
    assert len(memory.asked) == 1


def test_without_a_memory_the_same_bytes_are_scored_again(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    uri = folder.put(encode_strip(3))

    assert [verdict.reused for verdict in scan(pipeline, [uri, uri])] == [False, False]
    assert sum(scorer.sizes) == 2


def test_large_images_are_held_one_at_a_time(settings: Settings, folder: Folder, memory: Memory) -> None:
    roomy = settings.model_copy(update={"max_image_bytes": 4 * 2**20})
    pipeline = Pipeline(Widths(), MODEL_ID, roomy, memory.recall)
    pipeline.start()
    large = [encode_strip(width, bytes(2**20)) for width in (1, 2)]
    data = [encode_strip(5), large[0], encode_strip(6), large[1], bytes(4 * 2**20 + 1), encode_strip(7)]

    verdicts = scan(pipeline, [folder.put(each) for each in data])

    assert [verdict.width for verdict in verdicts] == [5, 1, 6, 2, None, 7]
    assert verdicts[4].error_code == ErrorCode.TOO_LARGE
    for each in large:
        assert ({hashlib.sha256(each).digest()}, None) in memory.asked
    pipeline.stop()


def test_nothing_to_scan_gives_no_verdicts(pipeline: Pipeline) -> None:
    assert scan(pipeline, []) == []


def test_many_images_keep_their_order(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    scorer.scores = {width: Score(False, width / 1000, 1 - width / 1000, None, None) for width in range(1, 201)}
    uris = [folder.put(encode_strip(width)) for width in range(1, 201)]

    verdicts = scan(pipeline, uris)

    assert [verdict.stego_probability for verdict in verdicts] == [width / 1000 for width in range(1, 201)]
    assert [verdict.width for verdict in verdicts] == list(range(1, 201))


def test_images_of_several_chunks_join_one_batch(settings: Settings, folder: Folder, scorer: Widths) -> None:
    patient = Pipeline(scorer, MODEL_ID, settings.model_copy(update={"batch_wait_ms": FOR_EVER_MS}))
    patient.start()
    uris = [folder.put(encode_strip(width)) for width in (1, 2, 3, 4)]

    chunks = [start_thread(patient.scan, list(enumerate(uris[part : part + 2]))) for part in (0, 2)]

    assert [[verdict.width for verdict in chunk.result(PATIENCE_S)] for chunk in chunks] == [[1, 2], [3, 4]]
    assert scorer.sizes == [4]
    patient.stop()


def test_images_larger_than_the_memory_budget_are_scanned_one_by_one(settings: Settings, folder: Folder) -> None:
    limits = {"decode_budget_bytes": 1, "decode_processes": 4}
    pipeline = Pipeline(Widths(), MODEL_ID, settings.model_copy(update=limits))
    pipeline.start()
    bad = folder.put(encode_truncated())
    uris = [folder.put(encode_strip(width)) if width % 3 else bad for width in range(1, 31)]

    verdicts = scan(pipeline, uris)

    assert [verdict.outcome for verdict in verdicts] == ["clean" if width % 3 else "error" for width in range(1, 31)]
    pipeline.stop()


def test_closing_ends_every_thread(settings: Settings, folder: Folder) -> None:
    before = threading.active_count()
    pipeline = Pipeline(Widths(), MODEL_ID, settings)
    pipeline.start()
    pipeline.scan([(width, folder.put(encode_strip(width))) for width in range(1, 9)])
    assert threading.active_count() > before

    pipeline.stop()

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
