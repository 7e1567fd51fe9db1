"""Large images: one request each, however many wait for the same memory, also to read a message."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from starlight_vocabulary.words import ErrorCode
from storage.blobs import CLIENT, RETRIES, Blobs
from storage.bucket_stores import open_bucket
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.detectors import STEGO, Widths
from tests.kit.image_server import ImageServer, serve_images
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_strip
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.chunk_loading import ChunkLoader
from worker.scanning.chunk_scan import ChunkScan
from worker.scanning.content import SMALL_BYTES
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.pipeline import Pipeline, Recall

SOURCES = ("web", "chunked", "s3", "blob")
STEGO_WIDTH, POISON_WIDTH = 1000, 1001
MODEL_ID = 7
# A budget for one large image.
FOR_ONE = 1
# How much shorter the timeout of servers is than usual.
HURRY = 8


class Images:
    """Images of any width in all kinds of places, with the number of reads of the remote ones."""

    def __init__(self, folder: Path, server: ImageServer, store: ObjectStore) -> None:
        self._folder = folder
        self._server = server
        self._store = store
        self._paths: dict[str, str] = {}

    def put(self, source: str, width: int, trailing: bytes = bytes(SMALL_BYTES)) -> str:
        """Return the reference of a new image, which is made large by trailing bytes."""
        data, name = encode_strip(width, trailing), f"{len(self._paths)}-{width}.png"
        if source == "file":
            (self._folder / name).write_bytes(data)
            return (self._folder / name).as_uri()
        if source == "blob":
            digest = Blobs(self._store.url).put(data)
            uri, path = f"blob://{digest}/{name}", f"/bucket/{digest[:2]}/{digest}"
        elif source == "s3":
            uri, path = f"s3://bucket/{name}", f"/bucket/{name}"
            self._store.objects[path] = data
        else:
            path = f"/{source}/{name}"
            uri = self._server.refer_to(path)
            self._server.images[path] = data
        self._paths[uri] = path
        return uri

    def count_reads(self, uris: Sequence[str]) -> set[int]:
        """Return the numbers of reads of the remote images among these, each number once."""
        reads = Counter(self._server.reads + self._store.reads)
        return {reads[self._paths[uri]] for uri in uris if uri in self._paths}


@pytest.fixture
def images(tmp_path: Path, object_store: ObjectStore) -> Iterator[Images]:
    open_bucket.cache_clear()
    with serve_images() as server:
        yield Images(tmp_path, server, object_store)
    open_bucket.cache_clear()


@pytest.fixture
def open_pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Returns running pipelines with these settings and little concurrency."""
    with ExitStack() as opened:

        def open_with(recall: Recall | None = None, **limits: float) -> Pipeline:
            settings = Settings(
                data_dir=tmp_path / "data",
                blob_url=ObjectStore.url,
                fetch_schemes=("http",),
                fetch_allowed_networks=(ip_network("127.0.0.0/8"),),
                fetch_threads=2,
                decode_processes=1,
            ).model_copy(update=limits)
            scorer = Widths({STEGO_WIDTH: STEGO, POISON_WIDTH: MemoryError()})
            pipeline = Pipeline(scorer, MODEL_ID, settings, recall)
            pipeline.start()
            opened.callback(lambda: start_thread(pipeline.stop).result(PATIENCE_S))
            return pipeline

        yield open_with


def start_scan(pipeline: Pipeline, uris: Sequence[str]) -> Future[list[NewVerdict]]:
    return start_thread(pipeline.scan, list(enumerate(uris)))


def list_outcomes(scanning: Future[list[NewVerdict]]) -> list[str]:
    return [verdict.error_code or verdict.outcome for verdict in scanning.result(PATIENCE_S)]


@pytest.mark.parametrize("source", SOURCES)
def test_a_clean_image_is_read_once(images: Images, open_pipeline: Callable[..., Pipeline], source: str) -> None:
    uri = images.put(source, 3)

    assert list_outcomes(start_scan(open_pipeline(), [uri])) == ["clean"]
    assert images.count_reads([uri]) == {1}


@pytest.mark.parametrize("source", SOURCES)
def test_a_stego_image_is_read_once_and_its_message_from_the_bytes_at_hand(
    images: Images, open_pipeline: Callable[..., Pipeline], source: str
) -> None:
    uri = images.put(source, STEGO_WIDTH, b"hello\0" + bytes(SMALL_BYTES))

    (verdict,) = start_scan(open_pipeline(), [uri]).result(PATIENCE_S)

    assert (verdict.outcome, verdict.extracted_message) == ("stego", "hello")
    assert images.count_reads([uri]) == {1}


@pytest.mark.parametrize("source", SOURCES)
def test_only_a_message_in_bytes_that_could_not_be_kept_is_worth_a_second_request(
    images: Images, open_pipeline: Callable[..., Pipeline], source: str
) -> None:
    pipeline = open_pipeline(kept_images_bytes=SMALL_BYTES, large_images_bytes=FOR_ONE)
    uri = images.put(source, STEGO_WIDTH, b"hello\0" + bytes(SMALL_BYTES))

    (verdict,) = start_scan(pipeline, [uri]).result(PATIENCE_S)

    assert (verdict.outcome, verdict.extracted_message) == ("stego", "hello")
    assert images.count_reads([uri]) == {2}


@pytest.mark.parametrize("source", SOURCES)
def test_images_that_fit_only_one_at_a_time_are_read_once_each(
    images: Images, open_pipeline: Callable[..., Pipeline], source: str
) -> None:
    uris = [images.put(source, width) for width in (1, 2, 3, STEGO_WIDTH, 5)]

    scanning = start_scan(open_pipeline(large_images_bytes=FOR_ONE), uris)

    assert list_outcomes(scanning) == ["clean", "clean", "clean", "stego", "clean"]
    assert images.count_reads(uris) == {1}


def put_mixed(images: Images, first_width: int) -> list[str]:
    """Return large and small images in all places, two of each."""
    widths = iter(range(first_width, first_width + 100))
    return [
        images.put(source, next(widths), trailing)
        for _ in range(2)
        for source in ("file", *SOURCES)
        for trailing in (bytes(SMALL_BYTES), b"")
    ]


def test_two_chunks_of_images_from_everywhere_share_the_memory_for_one(
    images: Images, open_pipeline: Callable[..., Pipeline]
) -> None:
    pipeline = open_pipeline(large_images_bytes=FOR_ONE, decode_budget_bytes=FOR_ONE)

    chunks = [put_mixed(images, first) for first in (100, 200)]
    scans = [start_scan(pipeline, uris) for uris in chunks]

    for uris, scanning in zip(chunks, scans, strict=True):
        assert list_outcomes(scanning) == ["clean"] * len(uris)
        assert images.count_reads(uris) == {1}


def test_waiting_for_memory_is_not_held_against_the_server(
    images: Images, open_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in CLIENT.items():
        if isinstance(limit, str):
            monkeypatch.setitem(CLIENT, name, f"{float(limit.removesuffix('s')) / HURRY}s")
    monkeypatch.setitem(RETRIES, "retry_timeout", RETRIES["retry_timeout"] / HURRY)
    may_go_on, held = threading.Event(), threading.Event()

    def recall(*_: object) -> dict[bytes, NewVerdict]:
        held.set()
        assert may_go_on.wait(PATIENCE_S)
        return {}

    patience_s = 30 / HURRY
    pipeline = open_pipeline(recall, large_images_bytes=FOR_ONE, fetch_threads=4, fetch_timeout_s=patience_s)
    holding = start_scan(pipeline, [images.put("file", 1)])
    assert held.wait(PATIENCE_S)

    uris = [images.put(source, width) for width, source in enumerate(SOURCES, 2)]
    scanning = start_scan(pipeline, uris)
    with pytest.raises(TimeoutError):
        scanning.result(1.5 * patience_s)
    may_go_on.set()

    assert list_outcomes(holding) == ["clean"]
    assert list_outcomes(scanning) == ["clean"] * len(uris)
    assert images.count_reads(uris) == {1}


def fail_first(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, but with a MemoryError at its first call."""
    first = iter([True])

    def run(*arguments: Any, **options: Any) -> Any:
        if next(first, False):
            raise MemoryError
        return call(*arguments, **options)

    return run


@pytest.mark.parametrize("stage", ["recall", "decode", "score"])
def test_a_scan_that_fails_gives_back_what_it_held(
    images: Images, open_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    recall = fail_first(lambda *_: {}) if stage == "recall" else None
    if stage == "decode":
        monkeypatch.setattr(DecodingPool, "decode", fail_first(DecodingPool.decode))
    pipeline = open_pipeline(recall, large_images_bytes=FOR_ONE, kept_images_bytes=SMALL_BYTES + 2**16)
    poison = [images.put("web", POISON_WIDTH)] if stage == "score" else []
    others = [images.put(source, width) for width, source in enumerate(("file", *SOURCES), 1)]
    with pytest.raises(MemoryError):
        start_scan(pipeline, poison or others).result(PATIENCE_S)

    uri = images.put("web", STEGO_WIDTH)

    assert list_outcomes(start_scan(pipeline, [uri])) == ["stego"]
    assert images.count_reads([uri]) == {1}


def test_files_do_not_wait_for_memory_beyond_the_time_of_their_chunk(tmp_path: Path) -> None:
    loader = ChunkLoader(Settings(data_dir=tmp_path, large_images_bytes=FOR_ONE))
    file = tmp_path / "large.png"
    file.write_bytes(encode_strip(STEGO_WIDTH, bytes(SMALL_BYTES)))

    def start_chunk(images: int, loading_s: float) -> ChunkScan:
        uris = enumerate([file.as_uri()] * images)
        return ChunkScan(uris, None, "ann", follow_links=True, loading_s=loading_s, given_up=None)

    with closing(loader.load(start_chunk(1, PATIENCE_S))) as held:
        assert len(next(held)) == 1
        late = start_chunk(2, 0.1)
        assert list(loader.load(late)) == [[]]
    loader.stop()

    last = late.list_verdicts()[-1]
    assert last.error_code == ErrorCode.UNAVAILABLE
    assert last.error_detail == f"no memory for {file.stat().st_size:,} bytes within 0 s"
