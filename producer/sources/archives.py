"""The members of `.zip` and `.tar` archives, read within bounds and never written to a path of their choosing."""

import bz2
import gzip
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, cast

from starlight_vocabulary.formats import ArchiveFormat

if sys.version_info >= (3, 14):
    # zipfile decompresses Zstandard from then on, and lets its errors through.
    from compression.zstd import ZstdError

    DECOMPRESSION_ERRORS: tuple[type[Exception], ...] = (zlib.error, lzma.LZMAError, ZstdError)
else:
    DECOMPRESSION_ERRORS = (zlib.error, lzma.LZMAError)

ZIP_SUFFIXES = tuple(suffix.encode() for suffix in ArchiveFormat.ZIP.suffixes)
SUFFIXES = tuple(suffix.encode() for each in ArchiveFormat for suffix in each.suffixes)
DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    b"BZh": lambda stream: cast(IO[bytes], bz2.BZ2File(stream)),
    b"\xfd7zXZ\0": lambda stream: cast(IO[bytes], lzma.LZMAFile(stream)),  # noqa: SIM115 - whoever gets it closes it
}
# What one header of a tar may take, and in the directory of a zip, on average, one entry.
MAX_HEADER_BYTES = 2**20
ENTRY_BYTES = 128
READ_ERRORS = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
    zipfile.BadZipFile, tarfile.TarError, *DECOMPRESSION_ERRORS,
)  # fmt: skip


class ArchiveTooLargeError(Exception):
    """An archive with more members or bytes than the settings allow."""


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One file of an archive; `data` is None where it cannot be read, `name` where the archive itself cannot."""

    name: str | None
    data: bytes | None


def is_archive(name: bytes) -> bool:
    """Whether a file of this name is taken for an archive."""
    return name.lower().endswith(SUFFIXES)


def unpack(path: bytes, *, max_members: int, max_bytes: int, max_member_bytes: int) -> Iterator[ArchiveMember]:
    """Yield the files of an archive, each up to `max_member_bytes`, one in memory at a time.

    Archives inside are files like others. Raises ArchiveTooLargeError beyond `max_members` or `max_bytes`.
    """
    bounds = Bounds(path, max_members, max_bytes)
    return (_unzip if path.lower().endswith(ZIP_SUFFIXES) else _untar)(path, max_member_bytes, bounds)


class Bounds:
    """Counts entries and unpacked bytes of one archive; raises ArchiveTooLargeError beyond what the settings allow."""

    def __init__(self, path: bytes, max_members: int, max_bytes: int) -> None:
        self._path = path
        self._members = self.max_members = max_members
        self._bytes = self._max_bytes = max_bytes

    def count(self, size: int) -> None:
        """Count one entry that takes `size` bytes to unpack or to skip."""
        self._members -= 1
        self._bytes -= size
        if self._members < 0 or self._bytes < 0:
            raise ArchiveTooLargeError(
                f"{os.fsdecode(self._path)!r} has more than {self.max_members:,} entries or {self._max_bytes:,} "
                "bytes: unpack it yourself, or raise STARLIGHT_MAX_ARCHIVE_MEMBERS or STARLIGHT_MAX_ARCHIVE_BYTES"
            )


class BoundedReads:
    """A stream of which at most `most` bytes are read in a row: headers that announce more are not read into memory.

    In a row, since tarfile may read one header in pieces. A seek begins a new row, and so does `begin_row`.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._most = self._left = most
        self.tell, self.seekable = stream.tell, stream.seekable

    def begin_row(self) -> None:
        """Begin a new row where the stream stands."""
        self._left = self._most

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the stream, and return it."""
        self.begin_row()
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or the rest; raises ReadError where that is more than one may."""
        data = self._stream.read(size if 0 <= size <= self._left else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError(f"a header of more than {self._most:,} bytes")
        return data


def _unzip(path: bytes, limit: int, bounds: Bounds) -> Iterator[ArchiveMember]:
    try:
        # pathlib cannot hold bytes
        with (
            open(path, "rb") as stream,  # noqa: PTH123
            zipfile.ZipFile(
                BoundedReads(stream, max(limit, MAX_HEADER_BYTES, bounds.max_members * ENTRY_BYTES))
            ) as archive,
        ):
            for entry in archive.infolist():
                bounds.count(min(entry.file_size, limit))
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield ArchiveMember(entry.filename, _read(partial(archive.open, entry), limit))
    except READ_ERRORS:
        yield ArchiveMember(None, None)


def _untar(path: bytes, limit: int, bounds: Bounds) -> Iterator[ArchiveMember]:
    try:
        with (
            open(path, "rb") as file,  # noqa: PTH123
            _decompress(file) as stream,
            tarfile.open(
                fileobj=cast(IO[bytes], reads := BoundedReads(stream, max(limit, MAX_HEADER_BYTES))), mode="r:"
            ) as archive,
        ):
            compressed = stream is not file
            unpacked = 0
            for entry in archive:
                # Of a compressed archive all counts: what is not read of a member is unpacked to get to the next one.
                bounds.count(archive.offset - unpacked if compressed else min(entry.size, limit))
                unpacked = archive.offset
                if not entry.isdir():
                    yield ArchiveMember(entry.name, _read(partial(archive.extractfile, entry), limit))
                # Between members without content there is no seek.
                reads.begin_row()
            # tarfile takes any header that it cannot read for the end, which is a block of zeros.
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
                yield ArchiveMember(None, None)
    except READ_ERRORS:
        yield ArchiveMember(None, None)


def _decompress(file: IO[bytes]) -> IO[bytes]:
    """Return the stream as it is before its compression, known by its first bytes, whatever the file's name."""
    start = file.read(max(map(len, DECOMPRESSORS)))
    file.seek(0)
    return next((opened(file) for magic, opened in DECOMPRESSORS.items() if start.startswith(magic)), file)


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
