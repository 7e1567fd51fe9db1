"""A worker process that tests run within their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from storage.settings import Settings
from tests.kit.detectors import HeldDetector
from worker.process import WorkerProcess
from worker.v4.detector import Detector


@contextmanager
def run_worker_process(engine: Engine, settings: Settings, detector: Detector | None = None) -> Iterator[WorkerProcess]:
    """Run the worker `cpu0@here` during the block; without a detector of the test, it calls everything clean."""
    process = WorkerProcess(engine, settings, name="cpu0@here", device="cpu0", detector=detector or HeldDetector())
    process.start()
    yield process
    process.stop()
