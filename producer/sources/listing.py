"""Listing the objects below a prefix of a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from obstore.exceptions import BaseError as StoreError
from obstore.exceptions import GenericError, InvalidPathError

from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.known_versions import KnownVersions
from producer.sources.selection import EVERYTHING, Selection, is_selected
from storage.bucket_stores import explain_refusal, list_objects
from storage.buckets import Location, read_location
from storage.submission import ListedObject


def read_prefix(uri: str) -> Location:
    """Return the location that a URI names; raises SourceError if the URI is invalid."""
    try:
        return read_location(uri)
    except ValueError as error:
        raise SourceError(f"{uri!r}: {error}") from error


def list_prefix(
    location: Location,
    selection: Selection = EVERYTHING,
    known: KnownVersions | None = None,
    after: str | None = None,
) -> Iterator[ListedObject]:
    """Yield the selected objects below a location with their versions, except those whose version is known.

    They are ordered by name; if `after` is given, only paths after it are yielded. One page of the listing is in
    memory. Raises SourceError if there is no such bucket or it cannot be read, and SourceAwayError if it does not
    answer.
    """
    above = len(f"{location.path}/") if location.path else 0
    with convert_store_errors(location):
        for found in list_objects(location, after):
            uri = f"{location.scheme}://{location.bucket}/{quote(found.path)}"
            if is_selected(found.path[above:].encode(), selection) and not (known and known.has(uri, found.version)):
                yield ListedObject(uri, found.version)


@contextmanager
def convert_store_errors(location: Location) -> Iterator[None]:
    """Convert errors of the object store in this block into a SourceError or SourceAwayError."""
    bucket = f"{location.scheme}://{location.bucket}"
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"there is no bucket {bucket}") from error
    except InvalidPathError as error:
        raise SourceError(
            f"{bucket} has a name below {location.path or 'it'!r} with an empty, . or .. path segment, which cannot be "
            "listed: submit a manifest of the other objects"
        ) from error
    except GenericError as error:
        reason = explain_refusal(error)
        if reason.startswith("404"):
            raise SourceError(f"there is no bucket {bucket}") from error
        raise SourceAwayError(f"{bucket} does not answer: {reason}") from error
    except (StoreError, OSError) as error:
        raise SourceError(f"{bucket} refuses: {explain_refusal(error)}") from error
