"""The data folder: made so that it is ours alone, and believed only where it is."""

import os
from pathlib import Path

WRITABLE_BY_OTHERS = 0o022


class DataFolderError(Exception):
    """The data folder, or a file in it, is not to be believed; the message says why, and what to do."""


def make_data_folder(folder: Path) -> None:
    """Make the folder unless it is there; what root makes can be entered by the account that runs PostgreSQL for it.

    Raises DataFolderError as `check_ownership` does.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    check_ownership(folder)


def check_ownership(path: Path) -> None:
    """Raise DataFolderError where somebody else may have written what is at this path; nothing need be there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise DataFolderError(f"{path} cannot be reached by this account: {error.strerror}; {_ELSEWHERE}") from error
    if status.st_uid not in (os.geteuid(), 0):
        raise DataFolderError(
            f"{path} belongs to another account (user id {status.st_uid}), so what it says is not believed: "
            f"`chown` it to yours, or {_ELSEWHERE}"
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise DataFolderError(
            f"other accounts may write to {path} (mode {status.st_mode & 0o7777:04o}), so what it says is not "
            f"believed: `chmod go-w {path}`, or {_ELSEWHERE}"
        )
    if not os.access(path, os.R_OK):
        raise DataFolderError(f"{path} is closed to this account (mode {status.st_mode & 0o7777:04o}); {_ELSEWHERE}")


def write_whole(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(path)


_ELSEWHERE = "set STARLIGHT_DATA_DIR to a folder of your own"
