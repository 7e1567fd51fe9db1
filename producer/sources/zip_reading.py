"""Reading the stored and deflated files of a ZIP; the entries of its directory are counted before it is parsed."""

import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Final, cast

from producer.sources.archive_reading import PIECE_BYTES, READ_ERRORS, Bounds, Entry, TooMuchError

# The methods that zipfile decompresses in bounded pieces. With bzip2, one piece of input may expand without a limit.
COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
DIRECTORY_ENTRY: Final = b"PK\1\2"
DIRECTORY_ENTRY_BYTES: Final = 46
# Lengths of name, extra fields and comment in an entry of the directory.
LENGTHS: Final = struct.Struct("<28x3H")
# Lengths of name and extra fields in the header of a member.
LOCAL_HEADER: Final = struct.Struct("<26x2H")
# A directory may have so many bytes per permitted entry, but always `SMALL_DIRECTORY_BYTES`.
AVERAGE_ENTRY_BYTES: Final = 128
SMALL_DIRECTORY_BYTES: Final = 2**20


class DirectoryBounds:
    """The stream of a ZIP. `zipfile` reads the directory in one call, which is checked for the number of entries."""

    def __init__(self, stream: IO[bytes], max_members: int) -> None:
        self._stream = stream
        self._max_members = max_members
        self._most = max(SMALL_DIRECTORY_BYTES, max_members * AVERAGE_ENTRY_BYTES)
        self.tell, self.seek, self.seekable = stream.tell, stream.seek, stream.seekable

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or the rest; raises TooMuchError if that exceeds the limits of a directory."""
        data = self._stream.read(size if 0 <= size <= self._most else self._most + 1)
        if len(data) > self._most or count_entries(data, self._max_members) > self._max_members:
            raise TooMuchError
        return data


def count_entries(directory: bytes, most: int) -> int:
    """Return the number of entries at the start of a directory, counted up to `most + 1`."""
    at = count = 0
    while count <= most and directory.startswith(DIRECTORY_ENTRY, at) and len(directory) - at >= DIRECTORY_ENTRY_BYTES:
        at += DIRECTORY_ENTRY_BYTES + sum(LENGTHS.unpack_from(directory, at))
        count += 1
    return count


def read_zip(file: IO[bytes], bounds: Bounds, *, in_place: bool = False) -> Iterator[Entry]:
    """Yield the files of a ZIP; raises `READ_ERRORS` if it is damaged as a whole, and TooMuchError.

    With `in_place`, stored files have spans.
    """
    with zipfile.ZipFile(cast(IO[bytes], DirectoryBounds(file, bounds.max_members))) as archive:
        for member in archive.infolist():
            stays = in_place and member.compress_type == zipfile.ZIP_STORED
            bounds.count(0 if stays else min(member.file_size, bounds.max_member_bytes))
        for member in archive.infolist():
            if member.is_dir():
                continue
            if in_place and member.compress_type == zipfile.ZIP_STORED:
                yield _locate(archive, file, member)
                continue
            refused = member.compress_type not in COMPRESSIONS
            yield Entry(member.filename, None if refused else _read(archive, member, bounds.max_member_bytes))


def _locate(archive: zipfile.ZipFile, file: IO[bytes], member: zipfile.ZipInfo) -> Entry:
    """Return a stored member with its span, or as unreadable."""
    try:
        # Opening it compares the member's header with the directory, and refuses encrypted members.
        archive.open(member).close()
        file.seek(member.header_offset)
        header = file.read(LOCAL_HEADER.size)
        start = member.header_offset + len(header) + sum(LOCAL_HEADER.unpack(header))
    except (*READ_ERRORS, struct.error):
        return Entry(member.filename, None)
    if member.compress_size != member.file_size:
        return Entry(member.filename, None)
    return Entry(member.filename, None, (start, member.file_size))


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> Iterator[bytes]:
    with archive.open(member) as stream:
        left = limit
        while piece := stream.read(min(PIECE_BYTES, left)):
            yield piece
            left -= len(piece)
