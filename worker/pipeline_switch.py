"""The pipeline of the model in use, and those of earlier models until their last chunk has ended."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from worker.scanning.pipeline import Pipeline


class PipelineSwitch:
    """Provides the newest pipeline. A chunk keeps the pipeline that it started with, so that no chunk mixes models."""

    def __init__(self, first: Pipeline) -> None:
        self._newest = first
        self._users: Counter[Pipeline] = Counter()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the first pipeline."""
        self._newest.start()

    @contextmanager
    def use_newest(self) -> Iterator[Pipeline]:
        """Use the newest pipeline within the block."""
        with self._lock:
            pipeline = self._newest
            self._users[pipeline] += 1
        try:
            yield pipeline
        finally:
            with self._lock:
                self._users[pipeline] -= 1
                superseded = pipeline is not self._newest and not self._users[pipeline]
            if superseded:
                pipeline.stop()

    def replace(self, pipeline: Pipeline) -> None:
        """Start this pipeline and use it from now on."""
        pipeline.start()
        with self._lock:
            before, self._newest = self._newest, pipeline
            idle = not self._users[before]
        if idle:
            before.stop()

    def stop(self) -> None:
        """End the newest pipeline; no chunk may be running."""
        self._newest.stop()
