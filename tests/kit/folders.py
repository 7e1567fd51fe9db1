"""Folders for tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def make_temporary_folder() -> Iterator[Path]:
    """Yield a new folder that the account of an embedded PostgreSQL may enter; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="starlight-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
