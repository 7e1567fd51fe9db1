"""The files of a ZIP: stored or deflated, of a directory that is counted before anything is made of it."""

import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Final, cast

from producer.sources.archive_reading import PIECE_BYTES, READ_ERRORS, Bounds, Entry, TooMuchError

# What zipfile unpacks in pieces. Of a member that is packed with bzip2 it unpacks all that one piece holds.
COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
DIRECTORY_ENTRY: Final = b"PK\1\2"
DIRECTORY_ENTRY_BYTES: Final = 46
# Where an entry of the directory says how long its name, extra fields and comment are.
LENGTHS: Final = struct.Struct("<28x3H")
# Where the header before a member says how long its name and extra fields are.
LOCAL_HEADER: Final = struct.Struct("<26x2H")
# What an entry of the directory may take on average, and the whole directory in any case.
AVERAGE_ENTRY_BYTES: Final = 128
SMALL_DIRECTORY_BYTES: Final = 2**20


class DirectoryBounds:
    """The stream of a ZIP, of which the directory, which is read in one piece, has no more entries than it may."""

    def __init__(self, stream: IO[bytes], max_members: int) -> None:
        self._stream = stream
        self._max_members = max_members
        self._most = max(SMALL_DIRECTORY_BYTES, max_members * AVERAGE_ENTRY_BYTES)
        self.tell, self.seek, self.seekable = stream.tell, stream.seek, stream.seekable

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or the rest; raises TooMuchError where that is more than a directory may be."""
        data = self._stream.read(size if 0 <= size <= self._most else self._most + 1)
        if len(data) > self._most or count_entries(data, self._max_members) > self._max_members:
            raise TooMuchError
        return data


def count_entries(directory: bytes, most: int) -> int:
    """Return how many entries a directory begins with, counted up to one more than `most`."""
    at = count = 0
    while count <= most and directory.startswith(DIRECTORY_ENTRY, at) and len(directory) - at >= DIRECTORY_ENTRY_BYTES:
        at += DIRECTORY_ENTRY_BYTES + sum(LENGTHS.unpack_from(directory, at))
        count += 1
    return count


def read_zip(file: IO[bytes], bounds: Bounds, *, in_place: bool = False) -> Iterator[Entry]:
    """Yield the files of a ZIP; raises `READ_ERRORS` where it is damaged as a whole, and TooMuchError.

    `in_place`, those that are stored have spans.
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
    """Return a stored member with its span, or as one that cannot be read."""
    try:
        # It compares the member's own header with the directory, and refuses what is encrypted.
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
