"""Putting local files into an archive, to be sent as one request."""

import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

LocalPath = str | os.PathLike[str]


def pack_files(paths: Iterable[LocalPath]) -> IO[bytes]:
    """Return a `.tar` archive, a file without a name, of files and of all that is below folders; raises OSError."""
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
    try:
        with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
            for path in paths:
                for file in _list_files(os.fspath(path)):
                    archive.add(file, recursive=False)
    except BaseException:
        stream.close()
        raise
    return stream


def _list_files(top: str) -> Iterator[str]:
    # Links are followed, but each real folder is entered once: links may lead in circles.
    entered: set[tuple[int, int]] = set()
    paths = [top]
    while paths:
        path = paths.pop()
        # Text throughout, as archives take it; pathlib would normalise the names that people gave.
        if not os.path.isdir(path):  # noqa: PTH112
            yield path
            continue
        status = os.stat(path)  # noqa: PTH116
        if (status.st_dev, status.st_ino) not in entered:
            entered.add((status.st_dev, status.st_ino))
            paths += sorted((os.path.join(path, name) for name in os.listdir(path)), reverse=True)  # noqa: PTH118, PTH208
