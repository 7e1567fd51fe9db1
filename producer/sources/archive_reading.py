"""What readers of archives share: members as they are met, and the bounds of what is read.

The process that unpacks imports this: it must start fast, and knows nothing of the rest of the project.
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


class Limits(NamedTuple):
    """What an archive may have and take: entries, bytes in all and of a member, and to unpack it seconds and memory."""

    max_members: int
    max_bytes: int
    max_member_bytes: int
    max_seconds: int
    max_memory_bytes: int


class TooMuchError(Exception):
    """More entries or bytes than an archive may have."""


class DamagedError(Exception):
    """An archive that cannot be read on; the message is a word that says why."""


class Entry(NamedTuple):
    """A file of an archive, and its bytes piece by piece, which raise `READ_ERRORS`; None where it is refused.

    The pieces are to be taken before the next entry is asked for. Where there is a `span`, it says where the bytes
    stand in the archive, its start and size, in place of the pieces.
    """

    name: str
    pieces: Iterator[bytes] | None
    span: tuple[int, int] | None = None


class Bounds:
    """Counts the entries and unpacked bytes of one archive; raises TooMuchError beyond what it may have."""

    def __init__(self, limits: Limits) -> None:
        self.max_members = limits.max_members
        self.max_member_bytes = limits.max_member_bytes
        self._members = limits.max_members
        self._bytes = limits.max_bytes

    def count(self, size: int) -> None:
        """Count one entry that takes `size` bytes to unpack or to skip."""
        self._members -= 1
        self._bytes -= size
        if self._members < 0 or self._bytes < 0:
            raise TooMuchError
