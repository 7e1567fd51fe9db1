"""Types that all readers of archives use: entries, limits and errors.

The process that unpacks archives imports this module. It must start fast, so nothing else of the project is imported.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import Final, NamedTuple

PIECE_BYTES: Final = 64 * 2**10
READ_ERRORS: Final = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError, OverflowError,
    zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError,
)  # fmt: skip


class ArchiveLimits(NamedTuple):
    """Limits of one archive: entries, unpacked bytes in total and per member, processor time and memory to unpack."""

    max_members: int
    max_bytes: int
    max_member_bytes: int
    max_seconds: int
    max_memory_bytes: int


class TooMuchError(Exception):
    """The archive has more entries or bytes than the limits allow."""


class DamagedError(Exception):
    """The archive cannot be read any further; the message says why."""


class Entry(NamedTuple):
    """A file of an archive. `pieces` yields its bytes and may raise `READ_ERRORS`; it is None if the file is refused.

    The pieces must be consumed before the next entry is requested. If there is a `span`, it gives the offset and the
    size of the bytes in the archive, and `pieces` is None.
    """

    name: str
    pieces: Iterator[bytes] | None
    span: tuple[int, int] | None = None


class Bounds:
    """Counts the entries and unpacked bytes of one archive; raises TooMuchError beyond the limits."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self.max_members = limits.max_members
        self.max_member_bytes = limits.max_member_bytes
        self._members = limits.max_members
        self._bytes = limits.max_bytes

    def count(self, size: int) -> None:
        """Count one entry, for which `size` bytes are unpacked or skipped."""
        self._members -= 1
        self._bytes -= size
        if self._members < 0 or self._bytes < 0:
            raise TooMuchError
