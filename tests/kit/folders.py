"""Folders for tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def list_stored_files(data_dir: Path) -> list[Path]:
    """Return the files of the blob store in a data folder."""
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


@contextmanager
def make_temporary_folder() -> Iterator[Path]:
    """Yield a new folder that the account of an embedded PostgreSQL may enter; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="starlight-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
