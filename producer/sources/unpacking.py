"""Unpacking archives in a separate process, so that an archive can harm only the process that reads it.

The process gets the archive, a socket and nothing else: no settings, no credentials, and no file that it may write. It
is not trusted: its frames are bounded in size, and the members counted again.
"""

import json
import logging
import math
import os
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Final

from producer.sources import unpacking_process
from producer.sources.archive_process import RemoteArchive, RunningProcess, make_environment, start_process
from producer.sources.archive_reading import ArchiveLimits, Bounds, TooMuchError
from producer.sources.archives import ArchiveMember, ArchiveTooLargeError, is_zip
from producer.sources.unpacking_frames import (
    DAMAGED,
    DATA,
    END,
    FAILED,
    LAST,
    MAX_NAME_BYTES,
    MEMBER,
    PROGRESS,
    READY,
    REQUEST,
    SPAN,
    SPAN_NUMBERS,
    TOO_MUCH,
    TOO_MUCH_MEMORY,
    UNREADABLE,
    WHOLE,
    BrokenFramesError,
    read_frame,
)
from storage.settings import Settings

# The processor time is granted once more for each so many bytes. bzip2 needs 0.2 s per MiB of incompressible data.
TIMED_BYTES: Final = 32 * 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnpackingLimits:
    """Limits of one archive, as in the settings.

    Entries, unpacked bytes in total and per member, processor time and memory to unpack it, and `stall_s`, the longest
    time without a frame.
    """

    max_members: int
    max_bytes: int
    max_member_bytes: int
    max_seconds: float
    max_memory_bytes: int
    stall_s: float

    def allow(self, archive_bytes: int) -> ArchiveLimits:
        """Return the limits for an archive of this size."""
        seconds = math.ceil(self.max_seconds * (1 + archive_bytes // TIMED_BYTES))
        return ArchiveLimits(self.max_members, self.max_bytes, self.max_member_bytes, seconds, self.max_memory_bytes)


def read_limits(settings: Settings) -> UnpackingLimits:
    """Return the limits from the settings."""
    return UnpackingLimits(
        max_members=settings.max_archive_members,
        max_bytes=settings.max_archive_bytes,
        # One byte more than workers accept: members that are too large still get the verdict `too_large`.
        max_member_bytes=settings.max_image_bytes + 1,
        max_seconds=settings.max_unpack_seconds,
        max_memory_bytes=settings.max_unpack_bytes,
        stall_s=settings.unpack_stall_s,
    )


def unpack(
    path: bytes, limits: UnpackingLimits, module: str = unpacking_process.__name__, *, in_place: bool = False
) -> Iterator[ArchiveMember]:
    """Yield the files of an archive, each up to `max_member_bytes`, one in memory at a time.

    With `in_place`, members that are stored uncompressed have a span instead of bytes. Archives inside are not
    unpacked. Raises ArchiveTooLargeError if it exceeds a limit, and RuntimeError if the process cannot be started.
    """
    with ExitStack() as opened:
        try:
            # pathlib cannot hold bytes
            archive = opened.enter_context(open(path, "rb", opener=_open_at_once))
            if not stat.S_ISREG(os.fstat(archive.fileno()).st_mode):
                raise OSError("no file")  # noqa: TRY301
        except OSError:
            yield ArchiveMember(None, None)
            return
        arguments = describe_archive(path, in_place=in_place)
        yield from read_by_process(archive, os.fsdecode(path), limits, module, arguments, in_place=in_place)


def unpack_remote(name: str, archive: RemoteArchive, limits: UnpackingLimits) -> Iterator[ArchiveMember]:
    """Yield the files of a remote archive as `unpack` does with `in_place`; its name says whether it is a ZIP or a tar.

    Raises what `unpack` raises, and what reading the archive raises.
    """
    arguments = describe_archive(name.encode(), in_place=True, remote_size=archive.size)
    module = unpacking_process.__name__
    yield from read_by_process(None, name, limits, module, arguments, remote=archive, in_place=True)


def describe_archive(name: bytes, *, in_place: bool, remote_size: int | None = None) -> list[str]:
    """Return the arguments of the process for an archive of this name; a remote one also needs its size."""
    kind = unpacking_process.ZIP if is_zip(name) else unpacking_process.TAR
    return [json.dumps([kind, in_place, remote_size])]


def read_by_process(
    archive: IO[bytes] | None,
    label: str,
    limits: UnpackingLimits,
    module: str,
    arguments: Sequence[str],
    *paths: str,
    remote: RemoteArchive | None = None,
    in_place: bool = False,
) -> Iterator[ArchiveMember]:
    """Yield the members that `python -m module ARGUMENT… LIMITS` reads from an open file or a `remote` archive.

    Errors name the archive by its `label`. With `in_place` the process may send spans. `paths` are folders of libraries
    that it needs. Raises what `unpack` raises.
    """
    size = remote.size if remote is not None else 0
    if archive is not None:
        size = os.fstat(archive.fileno()).st_size
    allowed = limits.allow(size)
    command = [sys.executable, "-S", "-P", "-m", module, *arguments, json.dumps(allowed)]
    with start_process(archive, remote, command, limits.stall_s, make_environment(*paths)) as process:
        yield from Unpacking(label, size if in_place else 0, process, allowed, limits).read()


def _open_at_once(path: str | bytes, flags: int) -> int:
    # If the path is a pipe, opening it would otherwise block until somebody writes to it.
    return os.open(path, flags | os.O_NONBLOCK)


def _read_name(kind: bytes, payload: bytes) -> str:
    if kind != MEMBER or len(payload) > MAX_NAME_BYTES:
        raise BrokenFramesError
    return payload.decode("utf-8", "surrogateescape")


class Unpacking:
    """Reads the frames that a process sends about one archive, and enforces the limits again."""

    def __init__(
        self,
        label: str,
        readable_in_place: int,
        running: RunningProcess,
        allowed: ArchiveLimits,
        limits: UnpackingLimits,
    ) -> None:
        self._label = label
        self._readable_in_place = readable_in_place
        self._running = running
        self._allowed = allowed
        self._limits = limits
        self._bounds = Bounds(allowed)

    def read(self) -> Iterator[ArchiveMember]:
        """Yield the members; raises what `unpack` raises."""
        began = False
        name = None
        try:
            began = self._read_frame()[0] == READY
            while (frame := self._read_frame())[0] not in LAST:
                kind, payload = frame
                if kind == PROGRESS:
                    continue
                name = _read_name(kind, payload)
                yield self._read_member(name)
                name = None
        except TooMuchError:
            raise self._too_much() from None
        except (BrokenFramesError, ConnectionError):
            self._explain_end(began)
            # The last member may be incomplete.
            if name is not None:
                yield ArchiveMember(name, None)
            yield ArchiveMember(None, None)
        else:
            yield from self._end(*frame)

    def _explain_end(self, began: bool) -> None:
        """Log how the process ended early; raises if the reason is not damage of the archive."""
        status = self._running.end()
        if not began:
            raise RuntimeError(f"the process that unpacks archives failed to start: exit status {status}")
        if status == -signal.SIGXCPU:
            raise self._refuse(
                f"takes more than {self._allowed.max_seconds:,} s of processor time to unpack",
                "STARLIGHT_MAX_UNPACK_SECONDS",
            )
        log.warning("%r ended the process that unpacked it: status %d", self._label, status)

    def _end(self, kind: bytes, payload: bytes) -> Iterator[ArchiveMember]:
        if kind == TOO_MUCH:
            raise self._too_much()
        if kind == TOO_MUCH_MEMORY:
            raise self._refuse(
                f"takes more than {self._limits.max_memory_bytes:,} bytes of memory to unpack",
                "STARLIGHT_MAX_UNPACK_BYTES",
            )
        if kind == FAILED:
            log.error("%r could not be unpacked: %s", self._label, payload.decode("utf-8", "replace"))
        if kind != END:
            yield ArchiveMember(None, payload if kind == DAMAGED and payload else None)

    def _read_frame(self) -> tuple[bytes, bytes]:
        try:
            while (frame := read_frame(self._running.frames))[0] == REQUEST:
                self._running.answer(frame[1])
            return frame  # noqa: TRY300 - requests are answered here and not returned
        except TimeoutError:
            raise self._refuse(
                f"yielded no data for {self._limits.stall_s:g} s while it was unpacked", "STARLIGHT_UNPACK_STALL_S"
            ) from None

    def _read_member(self, name: str) -> ArchiveMember:
        """Return a member; its bytes are None if it is unreadable or has a span. Raises TooMuchError."""
        pieces, size = [], 0
        while (frame := self._read_frame())[0] == DATA:
            pieces.append(frame[1])
            size += len(frame[1])
            if size > self._limits.max_member_bytes:
                raise TooMuchError
        self._bounds.count(size)
        if frame[0] == SPAN and not pieces:
            return ArchiveMember(name, None, self._read_span(frame[1]))
        if frame[0] not in (WHOLE, UNREADABLE):
            raise BrokenFramesError
        return ArchiveMember(name, b"".join(pieces) if frame[0] == WHOLE else None)

    def _read_span(self, numbers: bytes) -> tuple[int, int]:
        if len(numbers) != SPAN_NUMBERS.size:
            raise BrokenFramesError
        start, size = SPAN_NUMBERS.unpack(numbers)
        if not self._readable_in_place or start + size > self._readable_in_place:
            raise BrokenFramesError
        return start, size

    def _too_much(self) -> ArchiveTooLargeError:
        return self._refuse(
            f"has more than {self._limits.max_members:,} entries or {self._limits.max_bytes:,} bytes",
            "STARLIGHT_MAX_ARCHIVE_MEMBERS or STARLIGHT_MAX_ARCHIVE_BYTES",
        )

    def _refuse(self, what: str, settings: str) -> ArchiveTooLargeError:
        return ArchiveTooLargeError(self._label, what, settings)
