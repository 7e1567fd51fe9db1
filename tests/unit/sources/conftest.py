"""Sources in an empty folder, and the loader that reads their references."""

from pathlib import Path

import pytest

from producer.sources.expansion import Sources
from storage.blobs import Blobs
from storage.settings import Settings
from tests.kit.loading import BytesLoader


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", max_image_bytes=1000, max_archive_members=5, max_archive_bytes=100_000)


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings.blobs())


@pytest.fixture
def loader(blobs: Blobs) -> BytesLoader:
    return BytesLoader(blobs, 1000)


@pytest.fixture
def sources(blobs: Blobs, settings: Settings) -> Sources:
    return Sources(blobs, settings)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory of the test."""
    path = tmp_path / "folder"
    path.mkdir()
    monkeypatch.chdir(path)
    return path
