"""Storing members of archives and inscriptions of blocks as blobs, in groups."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar

# A group is stored when it has so many members or bytes.
GROUP_MEMBERS: Final = 256
GROUP_BYTES: Final = 8 * 2**20


class BlobWriter(Protocol):
    """Stores blobs."""

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these and return their SHA-256 in hex."""


class Storable(Protocol):
    """Something with bytes to store."""

    @property
    def data(self) -> bytes | None:
        """The bytes, or None if there are none to store."""


M = TypeVar("M", bound=Storable)


def store_members(blobs: BlobWriter, members: Iterator[M]) -> Iterator[tuple[M, str | None]]:
    """Yield each member with its SHA-256 in hex after it is stored; None if it has no bytes."""
    for group in _group_members(members):
        readable = [member.data for member in group if member.data is not None]
        digests = iter(blobs.put_all(readable) if readable else [])
        for member in group:
            yield member, None if member.data is None else next(digests)


def _group_members(members: Iterator[M]) -> Iterator[list[M]]:
    """Yield the members in groups of up to `GROUP_MEMBERS`; a group ends with the member that reaches `GROUP_BYTES`."""
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
