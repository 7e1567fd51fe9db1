"""Storing what was read of archives and blocks, some at once."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar

# Members that are stored at once.
GROUP_MEMBERS: Final = 256
GROUP_BYTES: Final = 8 * 2**20


class BlobWriter(Protocol):
    """What members are stored in."""

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these; return their SHA-256 in hex."""


class Member(Protocol):
    """What has bytes, or None where they cannot be read."""

    @property
    def data(self) -> bytes | None:
        """Return the bytes."""


M = TypeVar("M", bound=Member)


def store_members(blobs: BlobWriter, members: Iterator[M]) -> Iterator[tuple[M, str | None]]:
    """Yield each member with its SHA-256 in hex once it is stored; None where it has no bytes."""
    for group in _group_members(members):
        readable = [member.data for member in group if member.data is not None]
        digests = iter(blobs.put_all(readable) if readable else [])
        for member in group:
            yield member, None if member.data is None else next(digests)


def _group_members(members: Iterator[M]) -> Iterator[list[M]]:
    """Yield the members in groups that are stored at once: of so many, or so many bytes and one member more."""
    group: list[M] = []
    size = 0
    for member in members:
        group.append(member)
        size += len(member.data or b"")
        if len(group) == GROUP_MEMBERS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
