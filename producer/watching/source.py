"""Sources that can be watched: each finds what has arrived since its last cursor."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from producer.sources.archives import ArchiveTooLargeError
from producer.sources.storing import BlobWriter
from storage.submission import Reference

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """New images of a source. They become one job; cursor and versions are stored in the same transaction.

    `refer` yields the references and may store blobs for them. It is called again after a failure. If it yields none,
    there is no job, but cursor and versions are stored. `cursor` is the new cursor of the source, None for no change.
    `versions` maps the URIs of the files to their versions. Files that `are_gone`, such as those of a block, will not
    be seen again.
    """

    refer: Callable[[BlobWriter], Iterable[Reference]]
    cursor: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    are_gone: bool = False


def handle_large_archive(uri: str, references: Iterable[Reference]) -> Iterator[Reference]:
    """Yield the references of a file or an archive's members; if the archive exceeds the limits, then also its URI.

    The URI of the archive becomes an `error` verdict, so that people see it; the members before it are kept.
    """
    try:
        yield from references
    except ArchiveTooLargeError as error:
        log.warning("an archive is unpacked only in part: %s", error)
        yield uri


class Progress(Protocol):
    """What was already submitted of a source."""

    @property
    def cursor(self) -> str | None:
        """The cursor that was stored last, None if there is none."""

    def find_new(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Return the files, by URI, that were not submitted in these versions."""


class Source(Protocol):
    """A source in which images appear."""

    @property
    def uri(self) -> str:
        """The name of the watch, which stays the same after a restart."""

    @property
    def saw_everything(self) -> bool | None:
        """Whether the last look, if it was completed, passed every existing file to `find_new`.

        None if files of this source are never seen twice.
        """

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield what is new; the caller submits each before it requests the next.

        Raises SourceAwayError if a later look may succeed, else SourceError.
        """

    def wait(self) -> None:
        """Wait until there may be more."""
