"""Shortcuts from names to files and references."""

import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import pytest

from producer.sources.expansion import Sources
from starlight_vocabulary.words import ErrorCode
from storage.submission import Reference
from tests.kit.archives import write_zip
from tests.kit.loading import BytesLoader
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.image_error import ImageError

SECRET = b"the bytes that were named"


def expand(sources: Sources, *arguments: str, stdin: bytes = b"", separator: bytes = b"\n") -> list[str]:
    """Return the references that the arguments name, with a timeout."""
    references: Future[list[str]] = start_thread(
        lambda: [name_of(each) for each in sources.from_arguments(arguments, io.BytesIO(stdin), separator=separator)]
    )
    return references.result(PATIENCE_S)


def name_of(reference: Reference) -> str:
    """Return the URI of a reference."""
    return reference if isinstance(reference, str) else reference.uri


def write_files(folder: Path, *names: str) -> list[str]:
    """Write a file with each name, and return the expected references."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SECRET)
    return refer_to(folder, *names)


def refer_to(folder: Path, *names: str) -> list[str]:
    """Return the reference of each name below the folder."""
    return [(folder / name).as_uri() for name in names]


def expect_refusal(loader: BytesLoader, reference: Reference) -> ErrorCode:
    """Check that the loader refuses this reference, and return the error code."""
    with pytest.raises(ImageError) as refusal:
        loader.load(name_of(reference))
    return refusal.value.code


def zip_files(path: Path, names: Iterable[str]) -> Path:
    """Write an archive with a member of each name, without compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_zip(path, dict.fromkeys(names, SECRET), zipfile.ZIP_STORED)
