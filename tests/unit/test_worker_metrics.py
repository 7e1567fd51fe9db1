"""The metrics of a worker process itself."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import Settings
from tests.kit.detectors import Widths
from tests.kit.pictures import encode_pattern
from tests.kit.ports import find_free_port
from tests.kit.samples import read_registry, scrape
from worker.devices import Device
from worker.metrics_port import serve_worker_metrics
from worker.scanning.metrics import Stage, WorkerMetrics
from worker.scanning.pipeline import Pipeline


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics("cpu0")


@pytest.fixture
def pipeline(metrics: WorkerMetrics, tmp_path: Path) -> Iterator[Pipeline]:
    settings = Settings(data_dir=tmp_path, batch_size=8, decode_processes=1)
    pipeline = Pipeline(Widths(), 1, settings, metrics=metrics)
    pipeline.start()
    yield pipeline
    pipeline.stop()


def test_a_scan_is_timed_by_stages_and_leaves_nothing_held(
    pipeline: Pipeline, metrics: WorkerMetrics, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(encode_pattern("PNG"))

    pipeline.scan([(number, picture.as_uri()) for number in range(4)])

    samples = read_registry(metrics.registry)
    counts = samples["starlight_worker_stage_seconds_count"]
    assert {stage: counts["cpu0", stage.value] for stage in Stage} == {
        Stage.LOAD: 1, Stage.DECODE: 1, Stage.WAIT: 1, Stage.SCORE: 1, Stage.WRITE: 0,
    }  # fmt: skip
    assert all(samples["starlight_worker_stage_seconds_sum"]["cpu0", stage.value] > 0 for stage in list(Stage)[:4])
    assert samples["starlight_worker_batch_fill_ratio_sum"]["cpu0",] == 0.5
    assert samples["starlight_worker_images_held"]["cpu0",] == samples["starlight_worker_chunks_running"]["cpu0",] == 0


def test_a_scan_that_fails_leaves_nothing_held(metrics: WorkerMetrics) -> None:
    def fail() -> None:
        with metrics.watch_chunk():
            assert read_registry(metrics.registry)["starlight_worker_chunks_running"] == {("cpu0",): 1}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert read_registry(metrics.registry)["starlight_worker_chunks_running"] == {("cpu0",): 0}


def test_a_worker_serves_on_the_first_port_that_is_free(metrics: WorkerMetrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        port = serve_worker_metrics(metrics.registry, Settings(worker_metrics_port=first), Device("cpu", 0))

    assert port is not None
    assert first < port < first + 64
    samples = scrape(port)
    assert samples["starlight_worker_images_total"] == {("cpu0",): 0}
    assert samples["process_resident_memory_bytes"][()] > 0


def test_a_worker_serves_nothing_where_no_port_is_set(metrics: WorkerMetrics) -> None:
    assert serve_worker_metrics(metrics.registry, Settings(), Device("cpu", 0)) is None


def test_a_worker_that_cannot_serve_says_so_and_works(metrics: WorkerMetrics, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(worker_metrics_port=find_free_port(), exporter_host="192.0.2.1")

    assert serve_worker_metrics(metrics.registry, settings, Device("cpu", 0)) is None
    assert "metrics of this worker are not served" in caplog.text
