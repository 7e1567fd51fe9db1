"""Folders for tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A copy of a database is hundreds of small files: here they take an eighth of the time.
MEMORY = Path("/dev/shm")
# Of what the servers of all test processes write there, many times as much. Containers have 64 MiB.
ENOUGH_BYTES = 4 * 2**30


def list_stored_files(data_dir: Path) -> list[Path]:
    """Return the files of the blob store in a data folder."""
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def find_memory() -> Path | None:
    """Return the file system that is kept in memory, where there is one that is large and may hold programs."""
    if not os.access(MEMORY, os.W_OK):
        return None
    found = os.statvfs(MEMORY)
    is_enough = found.f_bavail * found.f_frsize >= ENOUGH_BYTES and not found.f_flag & os.ST_NOEXEC
    return MEMORY if is_enough else None


@contextmanager
def make_temporary_folder() -> Iterator[Path]:
    """Yield a new folder, in memory if possible, that the account of an embedded PostgreSQL may enter.

    Pytest's own are closed to it.
    """
    folder = Path(tempfile.mkdtemp(prefix="starlight-test-", dir=find_memory()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
