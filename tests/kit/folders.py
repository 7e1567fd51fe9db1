"""Folders for tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A copy of a database has hundreds of small files; in memory, it takes an eighth of the time.
MEMORY = Path("/dev/shm")
# Many times what the servers of all test processes write there. Containers have only 64 MiB by default.
ENOUGH_BYTES = 4 * 2**30


def list_stored_files(data_dir: Path) -> list[Path]:
    """Return the files of the blob store in a data folder."""
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def find_memory() -> Path | None:
    """Return the file system in memory, if there is one that is large enough and allows execution."""
    if not os.access(MEMORY, os.W_OK):
        return None
    found = os.statvfs(MEMORY)
    is_enough = found.f_bavail * found.f_frsize >= ENOUGH_BYTES and not found.f_flag & os.ST_NOEXEC
    return MEMORY if is_enough else None


@contextmanager
def make_temporary_folder() -> Iterator[Path]:
    """Yield a new folder, in memory if possible, which the user of an embedded PostgreSQL can enter.

    That user cannot enter pytest's temporary folders.
    """
    folder = Path(tempfile.mkdtemp(prefix="starlight-test-", dir=find_memory()))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder)
