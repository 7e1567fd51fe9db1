"""The members of `.zip` and `.tar` archives, read within bounds and never written to a path of their choosing."""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

TAR_SUFFIXES = (b".tar", b".tar.gz", b".tgz", b".tar.bz2", b".tbz2", b".tar.xz", b".txz")
ZIP_SUFFIXES = (b".zip",)
READ_ERRORS = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip


class ArchiveTooLargeError(Exception):
    """An archive with more members or bytes than the settings allow."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive; `data` is None where it cannot be read, `name` where the archive itself cannot."""

    name: str | None
    data: bytes | None


def is_archive(name: bytes) -> bool:
    """Whether a file of this name is taken for an archive."""
    return name.lower().endswith(ZIP_SUFFIXES + TAR_SUFFIXES)


def unpack(path: bytes, *, max_members: int, max_bytes: int, max_member_bytes: int) -> Iterator[Member]:
    """Yield the files of an archive, each up to `max_member_bytes`, one in memory at a time.

    Archives inside are files like others. Raises ArchiveTooLargeError beyond `max_members` or `max_bytes`.
    """
    bounds = Bounds(path, max_members, max_bytes)
    return (_unzip if path.lower().endswith(ZIP_SUFFIXES) else _untar)(path, max_member_bytes, bounds)


class Bounds:
    """Counts entries and unpacked bytes of one archive; raises ArchiveTooLargeError beyond what the settings allow."""

    def __init__(self, path: bytes, max_members: int, max_bytes: int) -> None:
        self._path = path
        self._members = self._max_members = max_members
        self._bytes = self._max_bytes = max_bytes

    def count(self, size: int) -> None:
        """Count one entry that takes `size` bytes to unpack or to skip."""
        self._members -= 1
        self._bytes -= size
        if self._members < 0 or self._bytes < 0:
            raise ArchiveTooLargeError(
                f"{os.fsdecode(self._path)!r} has more than {self._max_members:,} entries or {self._max_bytes:,} "
                "bytes: unpack it yourself, or raise STARLIGHT_MAX_ARCHIVE_MEMBERS or STARLIGHT_MAX_ARCHIVE_BYTES"
            )


def _unzip(path: bytes, limit: int, bounds: Bounds) -> Iterator[Member]:
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:  # noqa: PTH123 - pathlib cannot hold bytes
            for entry in archive.infolist():
                bounds.count(min(entry.file_size, limit))
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield Member(entry.filename, _read(partial(archive.open, entry), limit))
    except READ_ERRORS:
        yield Member(None, None)


def _untar(path: bytes, limit: int, bounds: Bounds) -> Iterator[Member]:
    try:
        with open(path, "rb") as stream, tarfile.open(fileobj=stream) as archive:  # noqa: PTH123
            compressed = archive.fileobj is not stream
            unpacked = 0
            for entry in archive:
                # Of a compressed archive all counts: what is not read of a member is unpacked to get to the next one.
                bounds.count(archive.offset - unpacked if compressed else min(entry.size, limit))
                unpacked = archive.offset
                if not entry.isdir():
                    yield Member(entry.name, _read(partial(archive.extractfile, entry), limit))
            # tarfile takes any header that it cannot read for the end, which is a block of zeros.
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                yield Member(None, None)
    except READ_ERRORS:
        yield Member(None, None)


def _read(opened: Callable[[], IO[bytes] | None], limit: int) -> bytes | None:
    """Return up to `limit` bytes, or None where the member is damaged, encrypted or no file (a device, a lost link)."""
    try:
        stream = opened()
        if stream is None:
            return None
        with stream:
            return stream.read(limit)
    except (*READ_ERRORS, KeyError):
        return None
