"""Reading archives within small limits, and damaging them."""

import os
from pathlib import Path

from producer.sources.archives import ArchiveMember
from producer.sources.unpacking import UnpackingLimits, unpack
from tests.kit.threads import PATIENCE_S

MAX_MEMBERS = 10
MAX_BYTES = 100_000
MAX_MEMBER_BYTES = 50_000
LIMITS = UnpackingLimits(
    max_members=MAX_MEMBERS,
    max_bytes=MAX_BYTES,
    max_member_bytes=MAX_MEMBER_BYTES,
    max_seconds=10.0,
    max_memory_bytes=128 * 2**20,
    stall_s=PATIENCE_S,
)
WHOLE_ARCHIVE = ArchiveMember(None, None)


def read_members(path: Path) -> list[ArchiveMember]:
    """Return the members of an archive, read within `LIMITS`."""
    return list(unpack(os.fsencode(path), LIMITS))


def flip(path: Path, position: int, bits: int = 0xFF) -> None:
    """Damage one byte of the file."""
    data = bytearray(path.read_bytes())
    data[position] ^= bits
    path.write_bytes(data)
