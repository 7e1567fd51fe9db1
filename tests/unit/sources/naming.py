"""Short cuts from names to files and references."""

import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import pytest

from producer.sources.expansion import Sources
from storage.error_codes import ErrorCode
from tests.unit.threads import PATIENCE_S, started
from worker.scanning.image_error import ImageError
from worker.scanning.loading import Loader

SECRET = b"the bytes that were named"


def named(sources: Sources, *arguments: str, stdin: bytes = b"", separator: bytes = b"\n") -> list[str]:
    """Return the references, which must not take for ever."""
    references: Future[list[str]] = started(
        lambda: list(sources.from_arguments(arguments, io.BytesIO(stdin), separator=separator))
    )
    return references.result(PATIENCE_S)


def put(folder: Path, *names: str) -> list[str]:
    """Write a file under each name and return the references that are expected for them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SECRET)
    return references(folder, *names)


def references(folder: Path, *names: str) -> list[str]:
    return [(folder / name).as_uri() for name in names]


def code(loader: Loader, uri: str) -> ErrorCode:
    with pytest.raises(ImageError) as refusal:
        loader.load(uri)
    return refusal.value.code


def zipped(path: Path, names: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, SECRET)
    return path
