"""Limits of stored bytes: those that the jobs of a submitter may take, and those that a disk must keep free."""

from dataclasses import dataclass


class StorageFullError(Exception):
    """There is no room for more bytes; the message says why and what to do."""


class StoredBytesError(Exception):
    """The submitter's jobs store as many bytes as they may; the message says so."""


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """Bytes that the jobs of one submitter may store (None: any number), and bytes of the disk to keep free."""

    max_stored_bytes: int | None
    min_free_bytes: int


def check_stored_bytes(submitter: str, stored: int, limits: StorageLimits) -> None:
    """Raise StoredBytesError if the jobs of a submitter would store more bytes than they may."""
    if limits.max_stored_bytes is not None and stored > limits.max_stored_bytes:
        raise StoredBytesError(
            f"the jobs of {submitter!r} would store {stored:,} bytes; the limit is {limits.max_stored_bytes:,}"
        )


def check_free_bytes(free: int, least: int) -> None:
    """Raise StorageFullError if fewer than `least` bytes are free."""
    if free < least:
        raise StorageFullError(
            f"the disk has {free:,} bytes left, and nothing is stored below {least:,} (STARLIGHT_MIN_FREE_BYTES): "
            "try again when there is room"
        )
