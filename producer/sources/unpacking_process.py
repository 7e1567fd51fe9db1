"""`python -m producer.sources.unpacking_process ARCHIVE LIMITS`: read one archive for somebody.

Standard input is the archive, an open file; or nothing, and it is asked for through standard output. That takes
frames, `unpacking_frames` says which. Arguments are JSON: whether it is a `zip` or `tar`, is read in place, and its
size where it is asked for; and the limits. It may be killed, keeps one piece of one member, and has no settings: it
starts fast.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import IO, Final, NoReturn, TypeAlias

from producer.sources.archive_reading import READ_ERRORS, Bounds, DamagedError, Entry, Limits, TooMuchError
from producer.sources.asked_file import open_asked
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
# Small members are sent together.
BUFFER_BYTES: Final = 256 * 2**10
# Calls, each of 64 KiB at most.
CALLS_FOR_PROGRESS: Final = 64


Read: TypeAlias = Callable[[IO[bytes], Limits, Callable[[], None]], Iterator[Entry]]
"""Yields what is in an open file, within limits, and says now and then that it goes on."""


class UnpackingProcess:
    """Sends what is in an archive."""

    def __init__(self, read: Read, archive: IO[bytes], frames: IO[bytes], limits: Limits) -> None:
        self._read = read
        self._archive = archive
        self._frames = frames
        self._limits = limits
        self._calls = 0

    def run(self) -> None:
        """Send the members, and how it ended; raises BrokenPipeError where nobody listens any more."""
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
    kind: str, in_place: bool, archive: IO[bytes], limits: Limits, tell_progress: Callable[[], None]
) -> Iterator[Entry]:
    """Yield the files of an archive of this kind."""
    if kind == ZIP:
        return read_zip(archive, Bounds(limits), in_place=in_place)
    return read_tar(archive, Bounds(limits), tell_progress, in_place=in_place)


def serve(read: Read, limits: str, asked_size: int | None = None) -> NoReturn:
    """Send what can be read within the limits of standard input, or of what is asked for, and end the process."""
    # Whoever asked may have gone, and the rest of the buffer with him.
    with suppress(BrokenPipeError):
        _send_all(read, limits, asked_size)
    os._exit(0)


def _send_all(read: Read, limits: str, asked_size: int | None) -> None:
    configured = Limits(*json.loads(limits))
    frames = open(sys.stdout.fileno(), "wb", BUFFER_BYTES, closefd=False)  # noqa: SIM115 - open until the end
    archive: IO[bytes] = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    if asked_size is not None:
        archive = open_asked(asked_size, frames, sys.stdout.fileno())
    # What goes wrong is sent.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    end_first()
    limit_resources(configured.max_memory_bytes)
    limit_processor_time(configured.max_seconds)
    forbid_writing_files()
    write_frame(frames, READY)
    frames.flush()
    UnpackingProcess(read, archive, frames, configured).run()


if __name__ == "__main__":
    kind, in_place, asked_size = json.loads(sys.argv[1])
    serve(partial(read_archive, kind, in_place), sys.argv[2], asked_size)
