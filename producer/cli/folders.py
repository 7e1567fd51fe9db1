"""Folders that a command writes files to."""

from pathlib import Path

from producer.cli.errors import UsageError


def check_is_folder(folder: Path) -> None:
    """Raise UsageError if there is something else at this path."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name a folder for the files")
