"""Running pipelines, and files for them to scan."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from producer.sources.expansion import refer_to_file
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.batcher import Scorer
from worker.scanning.pipeline import Pipeline, Recall

MODEL_ID = 7


class Folder:
    """A folder whose files are written as they are referred to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def put(self, data: bytes, name: str | None = None) -> str:
        """Write a file; return its reference."""
        path = self.path / (name or str(len(list(self.path.iterdir()))))
        path.write_bytes(data)
        return refer_to_file(os.fsencode(path))


@contextmanager
def run_pipeline(scorer: Scorer, settings: Settings, recall: Recall | None = None) -> Iterator[Pipeline]:
    """Yield a running pipeline."""
    pipeline = Pipeline(scorer, MODEL_ID, settings, recall)
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop()


def scan(pipeline: Pipeline, uris: Sequence[str], first: int = 0) -> list[NewVerdict]:
    """Return the verdicts on these references, whose ordinals begin with `first`; fails after a timeout."""
    return start_thread(pipeline.scan, list(enumerate(uris, first))).result(PATIENCE_S)
