"""References in requests: which of them the API takes, and as what."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from producer.api.permits import RETRY_LATER
from producer.api.problems import ProblemError, reject_field
from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.expansion import refer_to_file
from storage.buckets import BUCKET_NAMES, Location, is_prefix, read_location
from storage.jobs import ListedObject, Reference

# As in the URLs of browsers; a longer reference is a mistake.
MAX_LENGTH = 4096
REMOTE = ("https", *BUCKET_NAMES)


def check_references(
    references: Iterator[str] | Sequence[str],
    roots: Sequence[Path],
    may_name: Callable[[Location], bool],
    list_prefix: Callable[[Location], Iterator[ListedObject]],
) -> Iterator[Reference]:
    """Yield the references as they are stored; raises a problem (422) that names the first that is not taken.

    `file://` references must lie under one of `roots`, after their links are resolved; they are stored resolved.
    Those of buckets must be ones that whoever submits `may_name`; one that ends in a slash stands for what is listed.
    """
    real_roots = [os.fsencode(root.resolve()) for root in roots]
    for number, reference in enumerate(references):
        field = f"references.{number}"
        if len(reference) > MAX_LENGTH or not reference.isascii() or not reference.isprintable():
            raise reject_field(field, f"must be a URI in printable ASCII of at most {MAX_LENGTH} characters")
        try:
            parts = urlsplit(reference)
            hostname = parts.hostname
        except ValueError as error:
            raise reject_field(field, f"is no URI: {error}") from error
        if parts.scheme == "file" and (parts.query or parts.fragment):
            raise reject_field(field, "there is a ? or # in it: as part of a name, these are %3F and %23")
        if parts.scheme == "file":
            yield _resolve_file(field, unquote_to_bytes(parts.path), parts.netloc, real_roots)
        elif parts.scheme in REMOTE and hostname:
            if parts.username is not None or parts.password is not None:
                raise reject_field(field, "must not carry a user name or password")
            location = _read_object(field, reference, may_name) if parts.scheme in BUCKET_NAMES else None
            if location is not None and is_prefix(reference):
                yield from _list(field, location, list_prefix)
            else:
                yield reference
        else:
            raise reject_field(field, f"must be one of {', '.join(f'{scheme}://…' for scheme in (*REMOTE, 'file'))}")


def _read_object(field: str, reference: str, may_name: Callable[[Location], bool]) -> Location:
    try:
        location = read_location(reference)
    except ValueError as error:
        raise reject_field(field, str(error)) from error
    if not may_name(location):
        raise reject_field(field, "lies outside the buckets of this key, which `starlight keys create --bucket` names")
    return location


def _list(
    field: str, location: Location, list_prefix: Callable[[Location], Iterator[ListedObject]]
) -> Iterator[ListedObject]:
    try:
        yield from list_prefix(location)
    except SourceAwayError as error:
        raise ProblemError(503, f"{field}: {error}", headers=RETRY_LATER) from error
    except SourceError as error:
        raise reject_field(field, str(error)) from error


def _resolve_file(field: str, path: bytes, host: str, roots: Sequence[bytes]) -> str:
    if not roots:
        raise reject_field(field, "file:// references are not taken here: STARLIGHT_API_ROOTS names no folder")
    if host not in ("", "localhost") or not path.startswith(b"/") or b"\0" in path:
        raise reject_field(field, "must name a file of this machine by its whole path: file:///…")
    # What is resolved now is stored: a link that changes later is not followed again.
    real = os.path.realpath(path)
    if not any(real.startswith(root.rstrip(b"/") + b"/") for root in roots):
        raise reject_field(field, "lies outside the folders that STARLIGHT_API_ROOTS names")
    return refer_to_file(real)
