"""`python -m producer.sources.unpacking_process ARCHIVE LIMITS`: read one archive and send its members.

Standard input is the archive, unless it is remote: then its bytes are requested through standard output, a socket.
Standard output gets the frames of `unpacking_frames`. ARCHIVE is a JSON list: `zip` or `tar`, whether it is read in
place, and the size if it is remote. LIMITS is a JSON list too. The process may be killed at any time, has one piece of
one member in memory, and reads no settings, so that it starts fast.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import IO, Final, NoReturn, TypeAlias

from producer.sources.archive_reading import READ_ERRORS, ArchiveLimits, Bounds, DamagedError, Entry, TooMuchError
from producer.sources.remote_file import open_remote_file
from producer.sources.tar_reading import read_tar
from producer.sources.unpacking_frames import (
    DAMAGED,
    DATA,
    END,
    FAILED,
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
    write_frame,
)
from producer.sources.zip_reading import read_zip
from storage.process_limits import end_first, forbid_writing_files, limit_processor_time, limit_resources

ZIP: Final = "zip"
TAR: Final = "tar"
# Several small members are sent in one write.
BUFFER_BYTES: Final = 256 * 2**10
# A PROGRESS frame is sent for each so many calls, one per 64 KiB or less.
CALLS_FOR_PROGRESS: Final = 64


Read: TypeAlias = Callable[[IO[bytes], ArchiveLimits, Callable[[], None]], Iterator[Entry]]
"""Yields the entries of an open file within the limits, and regularly calls the last argument."""


class UnpackingProcess:
    """Sends the members of an archive."""

    def __init__(self, read: Read, archive: IO[bytes], frames: IO[bytes], limits: ArchiveLimits) -> None:
        self._read = read
        self._archive = archive
        self._frames = frames
        self._limits = limits
        self._calls = 0

    def run(self) -> None:
        """Send the members and the last frame; raises BrokenPipeError if the parent has closed the socket."""
        detail = ""
        try:
            for entry in self._read(self._archive, self._limits, self._tell_progress):
                self._send(entry)
            end = END
        except BrokenPipeError:
            raise
        except READ_ERRORS:
            end = DAMAGED
        except DamagedError as error:
            end, detail = DAMAGED, str(error)
        except TooMuchError:
            end = TOO_MUCH
        except MemoryError:
            end = TOO_MUCH_MEMORY
        except Exception as error:
            end, detail = FAILED, f"{type(error).__name__}: {error}"
        write_frame(self._frames, end, detail.encode("utf-8", "replace")[:MAX_NAME_BYTES])
        self._frames.flush()

    def _send(self, entry: Entry) -> None:
        write_frame(self._frames, MEMBER, entry.name.encode("utf-8", "surrogateescape")[:MAX_NAME_BYTES])
        if entry.span is not None:
            write_frame(self._frames, SPAN, SPAN_NUMBERS.pack(*entry.span))
            return
        end = UNREADABLE if entry.pieces is None else WHOLE
        try:
            for piece in entry.pieces or ():
                write_frame(self._frames, DATA, piece)
        except BrokenPipeError:
            raise
        except READ_ERRORS:
            end = UNREADABLE
        write_frame(self._frames, end)

    def _tell_progress(self) -> None:
        self._calls += 1
        if self._calls % CALLS_FOR_PROGRESS == 0:
            write_frame(self._frames, PROGRESS)
            self._frames.flush()


def read_archive(
    kind: str, in_place: bool, archive: IO[bytes], limits: ArchiveLimits, tell_progress: Callable[[], None]
) -> Iterator[Entry]:
    """Yield the files of an archive of this kind."""
    if kind == ZIP:
        return read_zip(archive, Bounds(limits), in_place=in_place)
    return read_tar(archive, Bounds(limits), tell_progress, in_place=in_place)


def serve(read: Read, limits: str, remote_size: int | None = None) -> NoReturn:
    """Send the entries of standard input, or of a remote archive of this size, and exit."""
    # The parent may have closed the socket before it has read everything.
    with suppress(BrokenPipeError):
        _send_all(read, limits, remote_size)
    os._exit(0)


def _send_all(read: Read, limits: str, remote_size: int | None) -> None:
    configured = ArchiveLimits(*json.loads(limits))
    frames = open(sys.stdout.fileno(), "wb", BUFFER_BYTES, closefd=False)  # noqa: SIM115 - open until the end
    archive: IO[bytes] = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    if remote_size is not None:
        archive = open_remote_file(remote_size, frames, sys.stdout.fileno())
    # Errors are sent as frames; libraries must not write to the parent's standard error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    end_first()
    limit_resources(configured.max_memory_bytes)
    limit_processor_time(configured.max_seconds)
    forbid_writing_files()
    write_frame(frames, READY)
    frames.flush()
    UnpackingProcess(read, archive, frames, configured).run()


if __name__ == "__main__":
    kind, in_place, remote_size = json.loads(sys.argv[1])
    serve(partial(read_archive, kind, in_place), sys.argv[2], remote_size)
