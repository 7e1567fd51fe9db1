"""Request bodies with images, archives or references: written to disk as they arrive, and turned into references."""

import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from producer.api.problems import ProblemError, reject_field
from producer.sources.expansion import Sources
from starlight_vocabulary.formats import ArchiveFormat
from storage.blobs import refer_to_blob
from storage.settings import Settings
from storage.storage_limits import check_free_bytes
from storage.uploads import Upload

# File suffixes of archives, by media type.
ARCHIVE_SUFFIXES = {
    **{each.media_type: each.suffixes[0] for each in (ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZIP)},
    "application/x-gtar": ArchiveFormat.TAR_GZIP.suffixes[0],
}
MULTIPART = "multipart/form-data"
# Each part is an open file while the request is read. More images can be sent in an archive.
MAX_PARTS = 256
MAX_FIELD_BYTES = 64 * 2**10
MAX_LINE_BYTES = 8 * 2**10


class FormParser(MultiPartParser):
    """Keeps only small parts in memory, others on disk."""

    spool_max_size = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its images, with their file names, and its other fields."""

    images: list[tuple[str, UploadFile]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def open_form(request: Request, upload: Upload, max_field_bytes: int = MAX_FIELD_BYTES) -> AsyncIterator[Form]:
    """Yield the form of a request; its files are deleted after the block.

    Raises a problem: 400 if it is not a form, 422 if a field has several values.
    """
    parser = FormParser(
        request.headers,
        _receive(request, upload),
        max_files=MAX_PARTS,
        max_fields=MAX_PARTS,
        max_part_size=max_field_bytes,
    )
    try:
        parsed = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        detail = error.message if isinstance(error, MultiPartException) else f"not a form: {error}"
        raise ProblemError(400, detail) from error
    try:
        form = Form()
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                form.images.append((_check_name(value.filename or name), value))
            elif name in form.fields:
                raise reject_field(f"body.{name}", "this field may have only one value: send it once")
            else:
                form.fields[name] = value
        yield form
    finally:
        await parsed.close()


def _check_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise reject_field("body", f"a file's name is not valid text: {error.reason} in {name[:40]!r}") from error
    return name


@asynccontextmanager
async def save_body(request: Request, upload: Upload, suffix: str) -> AsyncIterator[Path]:
    """Save a body and yield its path; the file is deleted after the block."""
    with tempfile.TemporaryDirectory(prefix="starlight-upload-") as folder:
        path = Path(folder) / f"upload{suffix}"
        with path.open("wb") as file:
            async for piece in _receive(request, upload):
                file.write(piece)
        yield path


async def _receive(request: Request, upload: Upload) -> AsyncGenerator[bytes, None]:
    """Yield a body as it arrives, renewing its upload meanwhile; raises StorageFullError."""
    folder = tempfile.gettempdir()
    async for piece in request.stream():
        check_free_bytes(disk_usage(folder).free, upload.limits.min_free_bytes)
        if upload.is_due:
            await run_in_threadpool(upload.renew)
        yield piece


def store_image(upload: Upload, settings: Settings, name: str, file: UploadFile) -> str:
    """Store a file of a form and return its reference.

    Larger files are cut one byte above the limit of workers, so that they still get the verdict `too_large`.
    """
    (digest,) = upload.put_all([file.file.read(settings.max_image_bytes + 1)])
    return refer_to_blob(digest, name)


def unpack_upload(upload: Upload, settings: Settings, path: Path) -> Generator[str]:
    """Yield the references of an uploaded archive's members; raises a problem (422) if it cannot be read as such."""
    whole = f"file:///{path.name}#{path.name}"
    for number, reference in enumerate(Sources(upload, settings).from_archive(bytes(path), whole)):
        if number == 0 and reference == whole:
            raise reject_field("body", f"is not a {path.name.removeprefix('upload')} archive")
        yield reference


def read_references(path: Path) -> Iterator[str]:
    """Yield the references of an NDJSON body, each line a string or an object with `uri`; raises a problem (422)."""
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES):
            number += 1
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise reject_field(f"body.{number}", f"line {number} is not valid JSON: {error}") from error
            uri = value.get("uri") if isinstance(value, dict) else value
            if not isinstance(uri, str):
                raise reject_field(
                    f"body.{number}", f"line {number} must be a string, or an object with a string `uri`"
                )
            yield uri
