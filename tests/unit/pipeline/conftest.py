"""A pipeline with small limits that each file of tests shares, since a new one would have to start a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import Settings
from tests.kit.detectors import Widths
from tests.kit.pipelines import Folder, run_pipeline
from worker.scanning.pipeline import Pipeline


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small limits."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        max_image_bytes=500_000,
        max_image_pixels=10_000,
        decode_budget_bytes=100_000,
        decode_processes=1,
        batch_size=4,
        batch_wait_ms=1,
        max_message_bytes=10,
    )


@pytest.fixture(scope="module")
def shared_scorer() -> Widths:
    """The scorer of the file's shared pipelines."""
    return Widths()


@pytest.fixture
def scorer(shared_scorer: Widths) -> Widths:
    """The shared scorer, reset."""
    vars(shared_scorer).update(vars(Widths()))
    return shared_scorer


@pytest.fixture(scope="module")
def shared_pipeline(shared_scorer: Widths, settings: Settings) -> Iterator[Pipeline]:
    """The file's pipeline, whose scorer may have been changed."""
    with run_pipeline(shared_scorer, settings) as pipeline:
        yield pipeline


@pytest.fixture
def pipeline(shared_pipeline: Pipeline, scorer: Widths) -> Pipeline:
    """The shared pipeline, with its scorer reset."""
    del scorer
    return shared_pipeline


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder for images."""
    return Folder(tmp_path / "folder")
