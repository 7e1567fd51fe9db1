"""Unpacking archives in a process of their own: what an archive does to its reader, it does to nobody else.

The process has the archive, a pipe and nothing else: no settings, no credentials, no file that it may write. What it
sends is read as frames of bounded size, and counted again.
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
from producer.sources.archive_reading import Bounds, Limits, TooMuchError
from producer.sources.archives import ArchiveMember, ArchiveTooLargeError, is_zip
from producer.sources.unpacking_frames import (
    ASK,
    DAMAGED,
    DATA,
    END,
    FAILED,
    LAST,
    MAX_NAME_BYTES,
    MEMBER,
    PROGRESS,
    READY,
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

# For so many bytes of an archive it has its time once more. bzip2 takes 0.2 s for each MiB that cannot be packed.
TIMED_BYTES: Final = 32 * 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnpackingLimits:
    """What one archive may have: entries, bytes in all and of a member; and take: see the settings of these names."""

    max_members: int
    max_bytes: int
    max_member_bytes: int
    max_seconds: float
    max_memory_bytes: int
    stall_s: float

    def allow(self, archive_bytes: int) -> Limits:
        """Return the limits of an archive of this size."""
        seconds = math.ceil(self.max_seconds * (1 + archive_bytes // TIMED_BYTES))
        return Limits(self.max_members, self.max_bytes, self.max_member_bytes, seconds, self.max_memory_bytes)


def read_limits(settings: Settings) -> UnpackingLimits:
    """Return the limits that are set."""
    return UnpackingLimits(
        max_members=settings.max_archive_members,
        max_bytes=settings.max_archive_bytes,
        # One byte more than a worker reads: a larger member keeps its verdict `too_large`.
        max_member_bytes=settings.max_image_bytes + 1,
        max_seconds=settings.max_unpack_seconds,
        max_memory_bytes=settings.max_unpack_bytes,
        stall_s=settings.unpack_stall_s,
    )


def unpack(
    path: bytes, limits: UnpackingLimits, module: str = unpacking_process.__name__, *, in_place: bool = False
) -> Iterator[ArchiveMember]:
    """Yield the files of an archive, each up to `max_member_bytes`, one in memory at a time.

    `in_place`, those that stand in it as they are come without their bytes, but with their span. Archives inside are
    files like others. Raises ArchiveTooLargeError where it exceeds a limit, and RuntimeError where no process can be
    started.
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
    """Yield the files of an archive elsewhere, in place where they stand in it as they are; raises as `unpack` does.

    By its name it is a ZIP or a tar. Raises what reading it does, too.
    """
    arguments = describe_archive(name.encode(), in_place=True, asked_size=archive.size)
    module = unpacking_process.__name__
    yield from read_by_process(None, name, limits, module, arguments, remote=archive, in_place=True)


def describe_archive(name: bytes, *, in_place: bool, asked_size: int | None = None) -> list[str]:
    """Return the arguments for an archive of this name, whose size is given where it is asked for."""
    kind = unpacking_process.ZIP if is_zip(name) else unpacking_process.TAR
    return [json.dumps([kind, in_place, asked_size])]


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
    """Yield what `python -m module ARGUMENT… LIMITS` sends of an open file, which errors call by its label.

    In place of a file it may be given a `remote` archive. `in_place`, it may send spans. `paths` are folders of
    libraries that the process needs. Raises as `unpack` does.
    """
    size = remote.size if remote is not None else 0
    if archive is not None:
        size = os.fstat(archive.fileno()).st_size
    allowed = limits.allow(size)
    command = [sys.executable, "-S", "-P", "-m", module, *arguments, json.dumps(allowed)]
    with start_process(archive, remote, command, limits.stall_s, make_environment(*paths)) as process:
        yield from Unpacking(label, size if in_place else 0, process, allowed, limits).read()


def _open_at_once(path: str | bytes, flags: int) -> int:
    # A pipe, which may have taken the place of a file, would wait for somebody to write.
    return os.open(path, flags | os.O_NONBLOCK)


def _read_name(kind: bytes, payload: bytes) -> str:
    if kind != MEMBER or len(payload) > MAX_NAME_BYTES:
        raise BrokenFramesError
    return payload.decode("utf-8", "surrogateescape")


class Unpacking:
    """Reads what a process sends of one archive, and believes none of it beyond the limits."""

    def __init__(
        self, label: str, readable_in_place: int, running: RunningProcess, allowed: Limits, limits: UnpackingLimits
    ) -> None:
        self._label = label
        self._readable_in_place = readable_in_place
        self._running = running
        self._allowed = allowed
        self._limits = limits
        self._bounds = Bounds(allowed)

    def read(self) -> Iterator[ArchiveMember]:
        """Yield the members; raises as `unpack` does."""
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
            # What was sent of the last member may not be all of it.
            if name is not None:
                yield ArchiveMember(name, None)
            yield ArchiveMember(None, None)
        else:
            yield from self._end(*frame)

    def _explain_end(self, began: bool) -> None:
        """Log how the process ended in the middle; raises where that is no damage of the archive."""
        status = self._running.end()
        if not began:
            raise RuntimeError(f"the process that unpacks archives ended before it had begun: status {status}")
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
            while (frame := read_frame(self._running.frames))[0] == ASK:
                self._running.answer(frame[1])
            return frame  # noqa: TRY300 - what is asked for in between is no frame for whoever reads them
        except TimeoutError:
            raise self._refuse(
                f"brought nothing for {self._limits.stall_s:g} s while it was unpacked", "STARLIGHT_UNPACK_STALL_S"
            ) from None

    def _read_member(self, name: str) -> ArchiveMember:
        """Return a member, its bytes None where it is unreadable or stays in its place; raises TooMuchError."""
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
