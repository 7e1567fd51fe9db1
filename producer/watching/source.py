"""What can be watched: a source says what has arrived, and where to go on after it."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from producer.sources.archives import ArchiveTooLargeError
from producer.sources.storing import BlobWriter
from storage.jobs import Reference

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a source has found and nobody has submitted: one job, noted in the transaction that stores it.

    `refer` yields the references, and may store bytes for them; it is called again where storing them failed, and may
    yield none: then only the rest is noted. `cursor` is where the source goes on after it, in its own words;
    None leaves it as it is. `versions` has the files that are in it, by their URIs, each with its version; those that
    `are_gone` will not be seen again, as what is in a block.
    """

    refer: Callable[[BlobWriter], Iterable[Reference]]
    cursor: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    are_gone: bool = False


def referred_or_itself(uri: str, references: Iterable[Reference]) -> Iterator[Reference]:
    """Yield the references of what is in an archive, or a file itself; and an archive too where it exceeds limits.

    What came before stays; the archive itself becomes an error that people see.
    """
    try:
        yield from references
    except ArchiveTooLargeError as error:
        log.warning("an archive is not unpacked to its end: %s", error)
        yield uri


class Progress(Protocol):
    """What was submitted of a source until now."""

    @property
    def cursor(self) -> str | None:
        """Where the last arrivals that had a cursor said to go on."""

    def find_new(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Return those of the files, by their URIs, that were not submitted in the version that they have here."""


class Source(Protocol):
    """Something that images appear in."""

    @property
    def uri(self) -> str:
        """The name under which it is watched, the same after a restart."""

    @property
    def saw_everything(self) -> bool | None:
        """Whether the last look, if it came to its end, asked `find_new` about every file that there is.

        None where nothing is seen twice.
        """

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield what is there now and was not submitted; what is yielded is submitted before more is asked for.

        Raises SourceAwayError where it may be better later, and SourceError where it will not.
        """

    def wait(self) -> None:
        """Return when there may be more."""
