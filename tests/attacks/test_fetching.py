"""Servers that make fetches wait: each delays its own reference and submitter, and nobody else."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import httpcore
import pytest

from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.deadline import Deadline
from storage.new_verdict import NewVerdict
from storage.public_network import ForbiddenAddressError, PublicBackend, Resolve, resolve
from storage.settings import Settings
from tests.kit.detectors import Widths
from tests.kit.image_server import ImageServer, serve_images
from tests.kit.pictures import encode_strip
from tests.kit.tardy_server import TardyServer
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.chunk_loading import ChunkLoader
from worker.scanning.chunk_scan import ChunkScan, GivenUpError
from worker.scanning.content import SMALL_BYTES, ContentReader
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError
from worker.scanning.pipeline import Pipeline

READER = ContentReader(10_000_000, None)
# Longer than any test: whatever succeeds has not waited for it.
FOR_EVER_S = 3600.0
THREADS = 8
MODEL_ID = 7


@pytest.fixture
def images() -> Iterator[ImageServer]:
    with serve_images() as server:
        server.images |= {"/small.png": encode_strip(3), "/large.png": encode_strip(4, bytes(SMALL_BYTES))}
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        fetch_schemes=("http", "https"),
        fetch_allowed_networks=(ip_network("127.0.0.0/8"),),
        fetch_threads=THREADS,
        fetch_timeout_s=FOR_EVER_S,
    )


@pytest.fixture
def open_pipeline(settings: Settings) -> Iterator[Callable[..., Pipeline]]:
    """Returns running pipelines with these settings."""
    with ExitStack() as opened:

        def open_with(**limits: float) -> Pipeline:
            pipeline = Pipeline(Widths(), MODEL_ID, settings.model_copy(update=limits))
            pipeline.start()
            opened.callback(lambda: start_thread(pipeline.stop).result(PATIENCE_S))
            return pipeline

        yield open_with


def fetch(settings: Settings, url: str, resolve: Resolve = resolve) -> ImageError:
    """Return the error of a fetch; one that does not end fails the test."""
    fetcher = Fetcher(settings, resolve)
    error = start_thread(fetcher.fetch, url, READER).exception(PATIENCE_S)
    fetcher.close()
    assert isinstance(error, ImageError), f"{url}: {error!r}"
    return error


@pytest.mark.parametrize(
    ("manner", "scheme"),
    [
        ("silent", "http"), ("handshake", "https"), ("head", "http"), ("headers", "http"), ("continue", "http"),
        ("body", "http"), ("chunks", "http"), ("chunk extension", "http"), ("trailer", "http"), ("redirect", "http"),
    ],
)  # fmt: skip
def test_no_manner_of_keeping_us_waiting_outlasts_the_deadline(
    tardy: TardyServer, settings: Settings, manner: str, scheme: str
) -> None:
    error = fetch(settings.model_copy(update={"fetch_timeout_s": 0.5}), tardy.refer_to(manner, scheme))

    assert error.code == ErrorCode.UNAVAILABLE
    assert "within 0.5 s" in error.detail


def test_a_name_that_is_looked_up_for_ever_does_not_outlast_it_either(settings: Settings) -> None:
    found = threading.Event()

    def look_up_for_ever(*_: object) -> list[str]:
        found.wait(PATIENCE_S)
        return []

    error = fetch(settings.model_copy(update={"fetch_timeout_s": 0.5}), "http://name.example/", look_up_for_ever)
    found.set()

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "resolving the name name.example takes too long")


def test_answers_before_the_answer_are_bounded_in_bytes(tardy: TardyServer, settings: Settings) -> None:
    error = fetch(settings, tardy.refer_to("flood"))

    assert error.code == ErrorCode.UNAVAILABLE
    assert "bytes before the body" in error.detail


def test_a_body_in_tiny_chunks_is_not_read_to_its_end(tardy: TardyServer, settings: Settings) -> None:
    error = fetch(settings, tardy.refer_to("tiny chunks"))

    assert error.code == ErrorCode.NOT_READABLE
    assert error.detail == "the server sends the image in very small pieces"


def start_scan(
    pipeline: Pipeline, uris: Sequence[str], submitter: str, given_up: "Future[None] | None" = None
) -> "Future[list[NewVerdict]]":
    return start_thread(partial(pipeline.scan, list(enumerate(uris)), submitter=submitter, given_up=given_up))


def list_outcomes(scanning: "Future[list[NewVerdict]]") -> list[str]:
    return [verdict.error_code or verdict.outcome for verdict in scanning.result(PATIENCE_S)]


@pytest.mark.parametrize("manner", ["silent", "large"])
def test_references_that_hang_keep_nobody_else_waiting(
    tardy: TardyServer, images: ImageServer, open_pipeline: Callable[..., Pipeline], settings: Settings, manner: str
) -> None:
    pipeline = open_pipeline()
    blobs = Blobs(settings.blobs())
    given_up: Future[None] = Future()
    hanging = start_scan(pipeline, 64 * [tardy.refer_to(manner)], "mallory", given_up)
    tardy.await_asked(THREADS // 2)

    uris = [f"blob://{blobs.put(data)}/name" for data in images.images.values()]
    uris += [images.refer_to(path) for path in images.images]

    assert list_outcomes(start_scan(pipeline, uris, "ann")) == ["clean"] * 4
    assert not hanging.done()
    given_up.set_result(None)
    assert isinstance(hanging.exception(PATIENCE_S), GivenUpError)


def test_images_at_hand_do_not_wait_for_the_memory_of_those_that_hang(
    tardy: TardyServer, images: ImageServer, open_pipeline: Callable[..., Pipeline], settings: Settings
) -> None:
    pipeline = open_pipeline(large_images_bytes=2)
    given_up: Future[None] = Future()
    hanging = start_scan(pipeline, 64 * [tardy.refer_to("large")], "mallory", given_up)
    tardy.await_asked(THREADS // 2)
    file = settings.data_dir / "large.png"
    file.write_bytes(images.images["/large.png"])

    uris = [f"blob://{Blobs(settings.blobs()).put(images.images['/large.png'])}/name", file.as_uri()]

    assert list_outcomes(start_scan(pipeline, uris, "ann")) == ["clean"] * 2
    given_up.set_result(None)
    assert isinstance(hanging.exception(PATIENCE_S), GivenUpError)


def test_what_is_given_up_is_left_at_once(tardy: TardyServer, open_pipeline: Callable[..., Pipeline]) -> None:
    given_up: Future[None] = Future()
    hanging = start_scan(open_pipeline(), 64 * [tardy.refer_to("silent")], "mallory", given_up)
    tardy.await_asked(THREADS // 2)

    given_up.set_result(None)

    assert isinstance(hanging.exception(PATIENCE_S), GivenUpError)
    tardy.await_left(THREADS // 2)


def test_what_is_loaded_again_for_its_message_is_left_at_once_too(tardy: TardyServer, settings: Settings) -> None:
    loader, given_up = ChunkLoader(settings), Future[None]()
    images = [(0, tardy.refer_to("silent"))]
    chunk = ChunkScan(images, None, "mallory", follow_links=True, loading_s=FOR_EVER_S, given_up=given_up)
    loading = start_thread(loader.load_again, chunk.images[0], chunk)
    tardy.await_asked()

    given_up.set_result(None)

    assert isinstance(loading.exception(PATIENCE_S), ImageError)
    tardy.await_left()
    loader.stop()


def test_a_lookup_that_nobody_waits_for_any_more_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.public_network.LOOKUPS_AT_ONCE", 1)
    looked_up: list[str] = []
    found = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        looked_up.append(host)
        found.wait(PATIENCE_S)
        return []

    backend = PublicBackend(resolve=look_up)
    for host in ("slow", "behind"):
        with Deadline(0.1), pytest.raises(httpcore.ConnectError, match="takes too long"):
            backend.connect_tcp(host, 80)
    found.set()
    with Deadline(PATIENCE_S), pytest.raises(ForbiddenAddressError):
        backend.connect_tcp("last", 80)

    assert looked_up == ["slow", "last"]


def test_a_body_in_tiny_pieces_takes_little_more_memory_than_its_bytes() -> None:
    size = 2**20
    tracemalloc.start()
    try:
        content = READER.read(bytes(2) for _ in range(size // 2))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(content.data) == size
    assert peak_bytes < 3 * size


def test_a_chunk_of_references_that_hang_ends_before_its_worker_does(
    tardy: TardyServer, images: ImageServer, open_pipeline: Callable[..., Pipeline]
) -> None:
    uris = [images.refer_to("/small.png"), *(200 * [tardy.refer_to("silent")])]

    outcomes = list_outcomes(start_scan(open_pipeline(chunk_timeout_s=4.0), uris, "mallory"))

    assert outcomes == ["clean", *(200 * ["unavailable"])]
