"""Reading the files of a tar one header at a time, in constant memory.

`tarfile.open` keeps every header and follows links and chains of headers without a limit; here `tarfile` only parses
single header blocks. Links and sparse files are refused: they can expand to far more bytes than were sent.
"""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Final, cast

from producer.sources.archive_reading import PIECE_BYTES, READ_ERRORS, Bounds, Entry

DECOMPRESSORS: Final[dict[bytes, Callable[[IO[bytes]], IO[bytes]]]] = {
    b"\x1f\x8b": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    b"BZh": lambda stream: cast(IO[bytes], bz2.BZ2File(stream)),
    b"\xfd7zXZ\0": lambda stream: cast(IO[bytes], lzma.LZMAFile(stream)),  # noqa: SIM115 - the caller closes it
}
# Limits of the extension headers of one entry: bytes of each, and their number.
MAX_HEADER_BYTES: Final = 64 * 2**10
MAX_HEADERS: Final = 8
GNU_NAME: Final = b"L"
# Headers that describe the next entry, or all entries after them.
EXTENSIONS: Final = frozenset({GNU_NAME, b"K", b"x", b"X", b"g"})
LINKS: Final = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE})
# Entries without data after the header, whatever size it has.
WITHOUT_DATA: Final = LINKS | {tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE}
REFUSED: Final = WITHOUT_DATA | EXTENSIONS | {tarfile.GNUTYPE_SPARSE}
SPARSE: Final = b"GNU.sparse."
SPARSE_NAME: Final = SPARSE + b"name"
USED_ATTRIBUTES: Final = frozenset({b"path", b"size", SPARSE_NAME})
MAX_SIZE: Final = 2**62
# Offsets of the byte in a sparse header, and in a block that continues it, that says that another block follows.
CONTINUED_IN_HEADER: Final = 482
CONTINUED_IN_BLOCK: Final = 504

Attributes = dict[bytes, bytes]


def read_tar(
    file: IO[bytes], bounds: Bounds, tell_progress: Callable[[], None], *, in_place: bool = False
) -> Iterator[Entry]:
    """Yield the files of a tar, compressed or not; raises `READ_ERRORS` if it is damaged, and TooMuchError.

    `tell_progress` is called regularly while bytes are skipped. With `in_place`, the entries of an uncompressed tar
    have spans.
    """
    with ExitStack() as opened:
        stream = _decompress(file)
        if stream is not file:
            opened.enter_context(stream)
        compressed = stream is not file
        reader = TarReader(Stream(stream, compressed, tell_progress), bounds, in_place=in_place and not compressed)
        yield from reader.read()


def _decompress(file: IO[bytes]) -> IO[bytes]:
    """Return the decompressed stream; the compression is recognised by the first bytes."""
    start = file.read(max(map(len, DECOMPRESSORS)))
    file.seek(0)
    return next((opened(file) for magic, opened in DECOMPRESSORS.items() if start.startswith(magic)), file)


class Stream:
    """The bytes of a tar, read forwards only."""

    def __init__(self, stream: IO[bytes], compressed: bool, tell_progress: Callable[[], None]) -> None:
        self._stream = stream
        self.compressed = compressed
        self._tell_progress = tell_progress
        self.position = 0

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        data = self._stream.read(size)
        self.position += len(data)
        return data

    def read_whole(self, size: int) -> bytes:
        """Return the next `size` bytes; raises ReadError if there are fewer."""
        data = self.read(size)
        if len(data) < size:
            raise tarfile.ReadError("unexpected end")
        return data

    def skip_to(self, position: int) -> None:
        """Skip forwards to a position; raises ReadError if the stream ends before it."""
        if not self.compressed and position - self.position > PIECE_BYTES:
            # The last byte is read, since `seek` goes beyond the end of a file without an error.
            self.position = self._stream.seek(position - 1)
        while self.position < position:
            self.read_whole(min(PIECE_BYTES, position - self.position))
            self._tell_progress()


class TarReader:
    """Reads a tar from one entry to the next."""

    def __init__(self, stream: Stream, bounds: Bounds, *, in_place: bool) -> None:
        self._stream = stream
        self._bounds = bounds
        self._in_place = in_place
        self._counted = 0
        self._for_all: Attributes = {}

    def read(self) -> Iterator[Entry]:
        """Yield the files; raises `READ_ERRORS` and TooMuchError."""
        attributes: Attributes = {}
        headers = 0
        while block := self._read_block():
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            headers += 1
            if headers > MAX_HEADERS:
                raise tarfile.ReadError(f"more than {MAX_HEADERS} headers for one entry")
            if header.type in EXTENSIONS and 0 <= header.size <= MAX_HEADER_BYTES:
                self._extend(attributes, header)
                continue
            if header.type in EXTENSIONS:
                # Too large to read: the next entry is read without it.
                yield from self._read_entry(header, block, {})
            else:
                yield from self._read_entry(header, block, {**self._for_all, **attributes})
                attributes, headers = {}, 0

    def _read_block(self) -> bytes:
        """Return the next header block, or b"" at the end: a block of zeros, or the end of the stream."""
        block = self._stream.read(tarfile.BLOCKSIZE)
        if len(block) not in (0, tarfile.BLOCKSIZE) or not self._stream.position:
            raise tarfile.ReadError("ends within a header")
        return block if block.strip(b"\0") else b""

    def _extend(self, attributes: Attributes, header: tarfile.TarInfo) -> None:
        data = self._stream.read_whole(header.size)
        self._stream.skip_to(_round_up(self._stream.position))
        if header.type == GNU_NAME:
            attributes[b"path"] = data.partition(b"\0")[0]
        elif header.type == b"g":
            self._for_all.update(read_attributes(data))
        elif header.type != b"K":
            attributes.update(read_attributes(data))

    def _read_entry(self, header: tarfile.TarInfo, block: bytes, attributes: Attributes) -> Iterator[Entry]:
        named = attributes.get(SPARSE_NAME, attributes.get(b"path"))
        name = header.name if named is None else named.decode("utf-8", "surrogateescape")
        size = int(attributes.get(b"size", header.size))
        if header.type == tarfile.GNUTYPE_SPARSE:
            self._skip_sparse_map(block)
        if not 0 <= size <= MAX_SIZE:
            raise tarfile.ReadError("impossible size")
        start = self._stream.position
        following = start if header.type in WITHOUT_DATA else _round_up(start + size)
        limit = min(size, self._bounds.max_member_bytes)
        # In a compressed archive all bytes count: to reach the next member, the rest of this one is decompressed too.
        self._bounds.count(self._measure(following, limit))
        self._counted = following
        refused = header.type in REFUSED or SPARSE in attributes
        if self._in_place and not refused:
            yield from self._locate_data(name, start, size)
        elif header.type != tarfile.DIRTYPE:
            yield Entry(name, None if refused else self._read_data(limit))
        self._stream.skip_to(following)

    def _measure(self, following: int, limit: int) -> int:
        """Return how many bytes are read for an entry: none if it is read in place later."""
        if self._in_place:
            return 0
        return following - self._counted if self._stream.compressed else limit

    def _locate_data(self, name: str, start: int, size: int) -> Iterator[Entry]:
        try:
            self._stream.skip_to(start + size)
        except READ_ERRORS:
            yield Entry(name, None)
            raise
        yield Entry(name, None, (start, size))

    def _read_data(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read_whole(min(PIECE_BYTES, size))
            size -= len(piece)
            yield piece

    def _skip_sparse_map(self, block: bytes) -> None:
        continued, start = block[CONTINUED_IN_HEADER], self._stream.position
        while continued:
            if self._stream.position - start >= MAX_HEADER_BYTES:
                raise tarfile.ReadError(f"a sparse map of more than {MAX_HEADER_BYTES:,} bytes")
            continued = self._stream.read_whole(tarfile.BLOCKSIZE)[CONTINUED_IN_BLOCK]


def read_attributes(data: bytes) -> Attributes:
    """Return the attributes in an extended header that are used: name, size, and whether the file is sparse.

    Each is a line `LENGTH KEYWORD=VALUE`. Raises ReadError if they are damaged.
    """
    attributes: Attributes = {}
    at = 0
    while at < len(data) and data[at]:
        digits, space, _ = data[at : at + 8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[at : at + length]
        keyword, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not space or not equals or len(record) < length or not record.endswith(b"\n"):
            raise tarfile.ReadError("a damaged extended header")
        if keyword.startswith(SPARSE):
            attributes[SPARSE] = b""
        if keyword in USED_ATTRIBUTES:
            attributes[keyword] = value
        at += length
    return attributes


def _round_up(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
