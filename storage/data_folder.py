"""The data folder: created so that only we can write to it, and trusted only if that is still so."""

import os
from pathlib import Path

WRITABLE_BY_OTHERS = 0o022


class DataFolderError(Exception):
    """The data folder, or a file in it, cannot be trusted; the message says why, and what to do."""


def make_data_folder(folder: Path) -> None:
    """Create the folder unless it exists; if root creates it, PostgreSQL's account may enter it.

    Raises DataFolderError like `check_ownership`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    check_ownership(folder)


def check_ownership(path: Path) -> None:
    """Raise DataFolderError if another account may have written to this path; a missing path is fine."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise DataFolderError(f"{path} cannot be reached by this account: {error.strerror}; {_ELSEWHERE}") from error
    if status.st_uid not in (os.geteuid(), 0):
        raise DataFolderError(
            f"{path} belongs to another account (user id {status.st_uid}), so it is not trusted: "
            f"`chown` it to yours, or {_ELSEWHERE}"
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise DataFolderError(
            f"other accounts may write to {path} (mode {status.st_mode & 0o7777:04o}), so it is not trusted: "
            f"`chmod go-w {path}`, or {_ELSEWHERE}"
        )
    if not os.access(path, os.R_OK):
        raise DataFolderError(f"{path} is closed to this account (mode {status.st_mode & 0o7777:04o}); {_ELSEWHERE}")


def write_whole(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(path)


_ELSEWHERE = "set STARLIGHT_DATA_DIR to a folder of your own"
