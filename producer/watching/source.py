"""What can be watched: a source says what has arrived, and where to go on after it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from producer.sources.storing import BlobWriter


class SourceAwayError(Exception):
    """A source that does not answer for now; the message says why. It is looked at again later."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a source has found and nobody has submitted: one job, noted in the transaction that stores it.

    `refer` yields the references, and may store bytes for them; it is called again where storing them failed, and may
    yield none: then only the rest is noted. `cursor` is where the source goes on after it, in its own words;
    None leaves it as it is. `versions` has the files that are in it, by their URIs, each with its version.
    """

    refer: Callable[[BlobWriter], Iterable[str]]
    cursor: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


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

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield what is there now and was not submitted; what is yielded is submitted before more is asked for.

        Raises SourceAwayError, and SourceError where it will never be better.
        """

    def wait(self) -> None:
        """Return when there may be more."""
