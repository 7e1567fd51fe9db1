"""Saves the files of an export; a file exists only if it is complete and matches the manifest."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from starlight_client.errors import UnreadableAnswerError
from starlight_vocabulary.exports import MANIFEST, ExportedPart
from starlight_vocabulary.records import from_json

PIECE_BYTES = 2**20


def read_parts(manifest: bytes) -> list[ExportedPart]:
    """Return the files that a manifest names; raises UnreadableAnswerError."""
    try:
        parts = [from_json(ExportedPart, each) for each in json.loads(manifest)["files"]]
        outside = [part.path for part in parts if not _is_below(part.path)]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswerError(f"this is not an export's manifest ({type(error).__name__}: {error})") from error
    if outside:
        raise UnreadableAnswerError(f"the manifest names a file outside of its folder: {outside[0]!r}")
    return parts


def _is_below(path: str) -> bool:
    names = PurePosixPath(path).parts
    return bool(names) and not path.startswith("/") and ".." not in names and "\\" not in path and ":" not in path


def is_there(folder: Path, part: ExportedPart) -> bool:
    """Whether the file exists and is complete."""
    path = folder / part.path
    if not path.is_file() or path.stat().st_size != part.size_bytes:
        return False
    with path.open("rb") as file:
        return _hash(file) == part.sha256


@contextmanager
def open_part(folder: Path, part: ExportedPart) -> Iterator[IO[bytes]]:
    """Yield a file to write to, which is deleted unless `finish_part` is called; raises OSError."""
    unfinished = _find_unfinished(folder / part.path)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished.open("w+b") as file:
            yield file
    finally:
        unfinished.unlink(missing_ok=True)


def finish_part(file: IO[bytes], folder: Path, part: ExportedPart) -> Path:
    """Rename a written file to its final name and return that; raises UnreadableAnswerError if its digest is wrong."""
    file.flush()
    file.seek(0)
    if (found := _hash(file)) != part.sha256:
        raise UnreadableAnswerError(f"{part.path} has the SHA-256 {found}, but the manifest says {part.sha256}")
    return _find_unfinished(folder / part.path).replace(folder / part.path)


def save_manifest(folder: Path, manifest: bytes) -> None:
    """Write the manifest, after all files that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = _find_unfinished(folder / MANIFEST)
    unfinished.write_bytes(manifest)
    unfinished.replace(folder / MANIFEST)


def _find_unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _hash(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
