"""The members of zip and tar archives, from their directories alone: nothing is unpacked.

Python's own reader of zip takes in the whole directory, which strangers may make as long as they like; here the first
`MAX_MEMBERS` are read.
"""

import struct
import tarfile
from io import BytesIO
from typing import Final

from starlight_vocabulary.payload import Member, PayloadKind

MAX_MEMBERS: Final = 100
"""Members that are listed, at most."""
NAME_CHARACTERS: Final = 255
"""Of a name, at most."""

_CENTRAL: Final = b"PK\x01\x02"
_LOCAL: Final = b"PK\x03\x04"
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_MAX_COMMENT: Final = 65535
_UTF8_FLAG: Final = 0x800
_DESCRIPTOR_FLAG: Final = 0x8


def list_members(data: bytes, kind: PayloadKind) -> tuple[list[Member], bool] | None:
    """Return the first members of an archive and whether there are more; None where it cannot be read.

    Sizes are those of the members when unpacked, as the archive says. Never raises on account of the bytes.
    """
    if kind is PayloadKind.ZIP:
        return _list_central(data) or _list_local(data)
    if kind is PayloadKind.TAR:
        return _list_tar(data)
    return None


def _list_central(data: bytes) -> tuple[list[Member], bool] | None:
    end = data.rfind(_END, max(0, len(data) - _MAX_COMMENT - _END_BYTES))
    if end < 0 or end + _END_BYTES > len(data):
        return None
    size, offset = struct.unpack_from("<II", data, end + 12)
    # Offsets count from the archive's own start, which another file in front of it moves: the directory ends here.
    at = end - size if end >= size else offset
    if not data.startswith(_CENTRAL, at):
        at = data.find(_CENTRAL)
    members: list[Member] = []
    while at >= 0 and at + 46 <= len(data) and data.startswith(_CENTRAL, at):
        if len(members) == MAX_MEMBERS:
            return members, True
        (flags,) = struct.unpack_from("<H", data, at + 8)
        unpacked, name_size, extra, comment = struct.unpack_from("<IHHH", data, at + 24)
        members.append(Member(_read_name(data[at + 46 : at + 46 + name_size], flags), unpacked))
        at += 46 + name_size + extra + comment
    return (members, False) if members else None


def _list_local(data: bytes) -> tuple[list[Member], bool] | None:
    """List what is in front of the directory, where that was cut off."""
    members: list[Member] = []
    at = data.find(_LOCAL)
    while at >= 0 and at + 30 <= len(data) and data.startswith(_LOCAL, at):
        if len(members) == MAX_MEMBERS:
            return members, True
        (flags,) = struct.unpack_from("<H", data, at + 6)
        packed, unpacked, name_size, extra = struct.unpack_from("<IIHH", data, at + 18)
        members.append(Member(_read_name(data[at + 30 : at + 30 + name_size], flags), unpacked))
        if flags & _DESCRIPTOR_FLAG:
            # Its size stands behind it.
            return members, True
        at += 30 + name_size + extra + packed
    return (members, True) if members else None


def _read_name(name: bytes, flags: int) -> str:
    text = name.decode("utf-8" if flags & _UTF8_FLAG else "cp437", "replace")
    return text[:NAME_CHARACTERS]


def _list_tar(data: bytes) -> tuple[list[Member], bool] | None:
    members: list[Member] = []
    try:
        with tarfile.open(fileobj=BytesIO(data), mode="r:") as archive:
            while (found := archive.next()) is not None:
                if len(members) == MAX_MEMBERS:
                    return members, True
                name = found.name.encode("utf-8", "replace").decode("utf-8", "replace")
                members.append(Member(name[:NAME_CHARACTERS], max(0, found.size)))
    except MemoryError:
        raise
    except Exception:
        # What it raises depends on what it is given; the members in front of that stand.
        return (members, True) if members else None
    return (members, False) if members else None
