"""Watching a folder: files are submitted once nobody has written to them for a while, each version once."""

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
from producer.watching.source import Arrivals, Progress, referred_or_itself
from storage.jobs import Reference
from storage.spans import describe_version

# Files that are submitted as one job, at most.
FILES_AT_ONCE: Final = 1000
# What changes within this time is told at once.
GROUPING_MS: Final = 200
STEP_MS: Final = 50

log = logging.getLogger(__name__)

# What one file becomes, by its path and its name below the folder: itself, or what is in an archive.
Refer = Callable[[BlobWriter, bytes, bytes], Iterable[Reference]]


class FolderSource:
    """A folder with all that is below it.

    The system tells of changes. `every_s` says how often everything is looked through all the same: other machines'
    changes in a network folder are seen in no other way. A file that changed within `settle_s` seconds, or that
    somebody has open for writing, waits.
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
        # Of a lease that is ended by somebody who opens the file for writing just then, the kernel tells by a signal,
        # and ends who has not said what to do about it.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        # Before the first look, so that nothing falls in between.
        self._changes = open_changes(self._folder)

    @property
    def uri(self) -> str:
        """Return the URI of the folder."""
        return refer_to_file(self._folder)

    @property
    def saw_everything(self) -> bool:
        """Whether the last look asked about all there is, not only about what changed."""
        return self._walked

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield files, many at once; raises SourceAwayError where the folder is not there."""
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
        """Return when something has changed, a file may have settled, or it is time to look everything through."""
        left_s = self._walk_at - time.monotonic()
        if self._changed:
            left_s = min(left_s, self._settle_s)
        if left_s <= 0:
            return
        if self._changes is None:
            time.sleep(left_s)
            return
        told = self._changes.watch(GROUPING_MS, STEP_MS, max(1, int(left_s * 1000)), None)
        if told == "signal":
            raise KeyboardInterrupt
        if isinstance(told, set):
            self._changed.update(os.fsencode(path) for _, path in told)

    def _list_candidates(self) -> Iterator[bytes]:
        """Return the paths of what may be new: what was told to have changed, or all that there is."""
        if not os.path.isdir(self._folder):  # noqa: PTH112
            raise SourceAwayError("the folder is not there")
        changed, self._changed = self._changed, set()
        self._walked = time.monotonic() >= self._walk_at
        if self._walked:
            self._walk_at = time.monotonic() + self._every_s
            return walk_files(self._folder)
        return (path for each in sorted(changed) for path in walk_path(each))

    def _is_settled(self, path: bytes) -> bool:
        """Whether nobody seems to write to the file any more; one that may be written to is looked at again."""
        try:
            # Also of a file that came here with the times that it had elsewhere, this one is new.
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
            yield from referred_or_itself(refer_to_file(path), self._refer(blobs, path, self._name(path)))


def open_changes(folder: bytes) -> RustNotify | None:
    """Return what tells of changes below a folder, or None where the system cannot."""
    try:
        return RustNotify([os.fsdecode(folder)], False, False, 0, True, True)
    except (OSError, WatchfilesRustInternalError, UnicodeError) as error:
        log.warning("the system tells of no changes in %r, which is looked through instead: %s", folder, error)
        return None


def walk_path(path: bytes) -> Iterator[bytes]:
    """Yield the path, or, of a folder, the files below it: they may have come before the system watched it."""
    if os.path.isdir(path):  # noqa: PTH112
        yield from walk_files(path)
    else:
        yield path


def read_version(path: bytes) -> str | None:
    """Return what changes whenever a file does: its size and when it was changed; None where it is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return describe_version(status) if stat.S_ISREG(status.st_mode) else None


def is_being_written(path: bytes) -> bool:
    """Whether somebody has the file open for writing, as far as the system tells; raises OSError.

    It gives a lease to read only where nobody writes: for files of one's own, or any to root, and on local disks.
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
