"""Lists the members of zip and tar archives without unpacking anything.

Python's zipfile reads the whole directory, which an attacker can make arbitrarily long; here only the first
`MAX_MEMBERS` entries are read.
"""

import struct
import tarfile
from io import BytesIO
from typing import Final

from starlight_vocabulary.payload import Member, PayloadKind

MAX_MEMBERS: Final = 100
"""The most members that are listed."""
NAME_CHARACTERS: Final = 255
"""The most characters of a name."""

_CENTRAL: Final = b"PK\x01\x02"
_LOCAL: Final = b"PK\x03\x04"
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_MAX_COMMENT: Final = 65535
_UTF8_FLAG: Final = 0x800
_DESCRIPTOR_FLAG: Final = 0x8


def list_members(data: bytes, kind: PayloadKind) -> tuple[list[Member], bool] | None:
    """Return the first members of an archive and whether there are more; None if it cannot be read.

    Sizes are the unpacked sizes that the archive states. The bytes never make this raise.
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
    # Offsets are wrong if another file precedes the archive, so the directory is found by its end and size.
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
    """List members by their local headers, for an archive whose directory was cut off."""
    members: list[Member] = []
    at = data.find(_LOCAL)
    while at >= 0 and at + 30 <= len(data) and data.startswith(_LOCAL, at):
        if len(members) == MAX_MEMBERS:
            return members, True
        (flags,) = struct.unpack_from("<H", data, at + 6)
        packed, unpacked, name_size, extra = struct.unpack_from("<IIHH", data, at + 18)
        members.append(Member(_read_name(data[at + 30 : at + 30 + name_size], flags), unpacked))
        if flags & _DESCRIPTOR_FLAG:
            # Its size is stored after its data, so the next header cannot be found.
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
        # tarfile raises various exceptions for bad input; the members before that are kept.
        return (members, True) if members else None
    return (members, False) if members else None
