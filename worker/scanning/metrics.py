"""Metrics that a worker process collects about its own work, without a database; they end with the process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from storage.traces import find_exemplar, trace

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
BATCH_SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class Stage(StrEnum):
    """A stage in which a chunk spends time; `score` is measured per batch, which chunks share."""

    LOAD = "load"
    DECODE = "decode"
    WAIT = "wait"
    SCORE = "score"
    WRITE = "write"


class WorkerMetrics:
    """The metrics of one worker, in a registry of their own."""

    def __init__(self, device: str = "") -> None:
        self.registry = CollectorRegistry()
        stages = Histogram(
            "starlight_worker_stage_seconds", "Time that a chunk, or a batch in scoring, spent in a stage.",
            ["device", "stage"], registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self._stages = {stage: stages.labels(device, stage.value) for stage in Stage}
        self._batch_fill = Histogram(
            "starlight_worker_batch_fill_ratio", "Images in a batch as a share of the batch size.",
            ["device"], registry=self.registry, buckets=BATCH_SHARES,
        ).labels(device)  # fmt: skip
        self._held = Gauge(
            "starlight_worker_images_held", "Images that are loaded and not scored yet.",
            ["device"], registry=self.registry,
        ).labels(device)  # fmt: skip
        self._chunks = Gauge(
            "starlight_worker_chunks_running", "Chunks that are being scanned.", ["device"], registry=self.registry
        ).labels(device)
        self._images = Counter(
            "starlight_worker_images", "Images that this process has judged.", ["device"], registry=self.registry
        ).labels(device)

    @contextmanager
    def time_stage(self, stage: Stage) -> Iterator[None]:
        """Measure the time of the block."""
        with self._stages[stage].time():
            yield

    @contextmanager
    def watch_chunk(self) -> Iterator["ChunkMetrics"]:
        """Measure a chunk until the block ends, also by an exception."""
        chunk = ChunkMetrics()
        self._chunks.inc()
        try:
            yield chunk
        finally:
            self._chunks.dec()
            for stage, seconds in chunk.seconds.items():
                self._stages[stage].observe(seconds, find_exemplar())

    def count_judged(self, images: int) -> None:
        """Count images whose verdicts are stored."""
        self._images.inc(images)

    def hold(self, images: int) -> None:
        """Add images that are held in memory; a negative number removes them."""
        self._held.inc(images)

    def count_batch(self, images: int, most: int) -> None:
        """Count a batch of `images` images out of at most `most`."""
        self._batch_fill.observe(images / most)


class ChunkMetrics:
    """Seconds that one chunk has spent in each stage so far."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((Stage.LOAD, Stage.DECODE, Stage.WAIT), 0.0)

    @contextmanager
    def time_stage(self, stage: Stage) -> Iterator[None]:
        """Add the time of the block; if the chunk is traced, the block is also a span."""
        begun_at = time.perf_counter()
        try:
            with trace(stage.value):
                yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun_at
