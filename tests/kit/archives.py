"""Archives for tests, as bytes and as files."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def pack_zip(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP of these members, by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def pack_tar(members: Mapping[str, bytes], links: Sequence[tarfile.TarInfo] = (), mode: Any = "w") -> bytes:
    """Return a tar of these members, by name, and of these entries without data."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in members.items():
            archive.addfile(describe_entry(name, len(data)), io.BytesIO(data))
        for link in links:
            archive.addfile(link)
    return stream.getvalue()


def describe_entry(
    name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "", **fields: Any
) -> tarfile.TarInfo:
    """Return the header of a tar entry, with these attributes of `tarfile.TarInfo`."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, target
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def write_zip(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a ZIP of these members and return its path."""
    path.write_bytes(pack_zip(members, compression))
    return path


def write_tar(path: Path, members: Mapping[str, bytes], links: Sequence[tarfile.TarInfo] = (), mode: Any = "w") -> Path:
    """Write a tar of these members and links and return its path."""
    path.write_bytes(pack_tar(members, links, mode))
    return path
