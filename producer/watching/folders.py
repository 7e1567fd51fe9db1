"""Watching a folder: each version of a file is submitted once, after it has not changed for a while."""

import fcntl
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.expansion import refer_to_file
from producer.sources.folders import walk_files
from producer.sources.selection import Selection, is_selected
from producer.sources.storing import BlobWriter
from producer.watching.source import Arrivals, Progress, handle_large_archive
from storage.spans import describe_version
from storage.submission import Reference

# Largest number of files in one job.
FILES_AT_ONCE: Final = 1000
# Changes within this time are reported together.
GROUPING_MS: Final = 200
STEP_MS: Final = 50

log = logging.getLogger(__name__)

# Returns the references of a file, given its path and its name below the folder: itself, or the members of an archive.
Refer = Callable[[BlobWriter, bytes, bytes], Iterable[Reference]]


class FolderSource:
    """A folder and everything below it.

    The operating system notifies of changes. In addition everything is walked each `every_s` seconds, since changes by
    other machines in a network folder cause no notifications. A file is taken only after it has not changed for
    `settle_s` seconds, and while it is not open for writing.
    """

    def __init__(self, folder: Path, refer: Refer, selection: Selection, *, every_s: float, settle_s: float) -> None:
        self._folder = os.fsencode(folder.resolve())
        if not os.path.isdir(self._folder):  # noqa: PTH112 - names of files are bytes
            raise SourceError(f"there is no folder {str(folder)!r} to watch")
        self._refer = refer
        self._selection = selection
        self._every_s = every_s
        self._settle_s = settle_s
        self._walk_at = 0.0
        self._walked = False
        self._changed: set[bytes] = set()
        # `is_being_written` takes a lease on a file. If another process opens the file for writing meanwhile, the
        # kernel sends SIGIO, which would kill this process by default.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        # Opened before the first walk, so that no change is missed.
        self._changes = open_changes(self._folder)

    @property
    def uri(self) -> str:
        """Return the URI of the folder."""
        return refer_to_file(self._folder)

    @property
    def saw_everything(self) -> bool:
        """Whether the last look walked the whole folder, not only what changed."""
        return self._walked

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield arrivals of up to `FILES_AT_ONCE` files; raises SourceAwayError if the folder does not exist."""
        candidates = iter(self._list_candidates())
        while paths := list(islice(candidates, FILES_AT_ONCE)):
            versions = {}
            for path in paths:
                if is_selected(self._name(path), self._selection) and (version := read_version(path)):
                    versions[refer_to_file(path)] = path, version
            new = progress.find_new({uri: version for uri, (_, version) in versions.items()})
            settled = {uri: version for uri, version in new.items() if self._is_settled(versions[uri][0])}
            if settled:
                yield Arrivals(partial(self._refer_to, [versions[uri][0] for uri in settled]), versions=settled)

    def wait(self) -> None:
        """Wait until something changes, a file may have settled, or the next walk is due."""
        left_s = self._walk_at - time.monotonic()
        if self._changed:
            left_s = min(left_s, self._settle_s)
        if left_s <= 0:
            return
        if self._changes is None:
            time.sleep(left_s)
            return
        changes = self._changes.watch(GROUPING_MS, STEP_MS, max(1, int(left_s * 1000)), None)
        if changes == "signal":
            raise KeyboardInterrupt
        if isinstance(changes, set):
            self._changed.update(os.fsencode(path) for _, path in changes)

    def _list_candidates(self) -> Iterator[bytes]:
        """Return the paths that may be new: those that have changed or, if a walk is due, all."""
        if not os.path.isdir(self._folder):  # noqa: PTH112
            raise SourceAwayError("the folder does not exist")
        changed, self._changed = self._changed, set()
        self._walked = time.monotonic() >= self._walk_at
        if self._walked:
            self._walk_at = time.monotonic() + self._every_s
            return walk_files(self._folder)
        return (path for each in sorted(changed) for path in walk_path(each))

    def _is_settled(self, path: bytes) -> bool:
        """Whether the file seems to be complete; if not, it is looked at again."""
        try:
            # Not the modification time: a file that was copied or moved here may have kept an old one.
            changed_at = os.stat(path).st_ctime  # noqa: PTH116
            settled = abs(time.time() - changed_at) >= self._settle_s and not is_being_written(path)
        except OSError:
            return False
        if not settled:
            self._changed.add(path)
        return settled

    def _name(self, path: bytes) -> bytes:
        return os.path.relpath(path, self._folder)

    def _refer_to(self, paths: Iterable[bytes], blobs: BlobWriter) -> Iterator[Reference]:
        for path in paths:
            yield from handle_large_archive(refer_to_file(path), self._refer(blobs, path, self._name(path)))


def open_changes(folder: bytes) -> RustNotify | None:
    """Return a watcher of changes below a folder, or None if the system cannot watch it."""
    try:
        return RustNotify([os.fsdecode(folder)], False, False, 0, True, True)
    except (OSError, WatchfilesRustInternalError, UnicodeError) as error:
        log.warning("changes in %r cannot be watched, so the folder is walked regularly: %s", folder, error)
        return None


def walk_path(path: bytes) -> Iterator[bytes]:
    """Yield the path or, for a folder, the files below it, which may be older than the watch on the folder."""
    if os.path.isdir(path):  # noqa: PTH112
        yield from walk_files(path)
    else:
        yield path


def read_version(path: bytes) -> str | None:
    """Return the version of a file, made of its size and time of change, or None if it is not a regular file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return describe_version(status) if stat.S_ISREG(status.st_mode) else None


def is_being_written(path: bytes) -> bool:
    """Whether a process has the file open for writing, False if unknown; raises OSError.

    The kernel grants a read lease only if nobody has the file open for writing. Leases work on local disks, and for
    root or the owner of the file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
