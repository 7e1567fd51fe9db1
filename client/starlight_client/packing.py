"""Packs local files into an archive that is sent as one request."""

import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

LocalPath = str | os.PathLike[str]


def pack_files(paths: Iterable[LocalPath]) -> IO[bytes]:
    """Return a `.tar` archive of files and of everything below folders, as a temporary file.

    Raises OSError, and TypeError for a single string.
    """
    require_several(paths, "paths")
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
            for path in paths:
                for file in _list_files(os.fspath(path)):
                    archive.add(file, recursive=False)
    except BaseException:
        stream.close()
        raise
    return stream


def require_several(given: object, name: str) -> None:
    """Raise TypeError for a string, which as an iterable would be its characters: `/`, the whole disk, among them."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{name} must be a list, such as [{given!r}], not one string")


def _list_files(top: str) -> Iterator[str]:
    # Links are followed, but each real folder is entered only once, since links may form cycles.
    entered: set[tuple[int, int]] = set()
    paths = [top]
    while paths:
        path = paths.pop()
        # Strings, since pathlib would normalise the names.
        if not os.path.isdir(path):  # noqa: PTH112
            yield path
            continue
        status = os.stat(path)  # noqa: PTH116
        if (status.st_dev, status.st_ino) not in entered:
            entered.add((status.st_dev, status.st_ino))
            paths += sorted((os.path.join(path, name) for name in os.listdir(path)), reverse=True)  # noqa: PTH118, PTH208
