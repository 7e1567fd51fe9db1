"""Spans: references of archive members that are stored uncompressed, and read in place.

`ARCHIVE#bytes=START+SIZE&of=VERSION&name=NAME`; the archive is a file, or an object of a bucket, with its version.
The numbers are not trusted: a span is read only within the archive, and only in this version.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SPAN = re.compile(r"bytes=(\d{1,18})\+(\d{1,18})&of=([^&]+)&name=([^&]*)")


@dataclass(frozen=True, slots=True)
class Span:
    """The position of a member in this version of its archive; `name` may have surrogates for invalid bytes."""

    start: int
    size: int
    version: str
    name: str


def refer_to_span(archive: str, span: Span) -> str:
    """Return the reference of a member of the archive with this URI."""
    name = quote(span.name, errors="surrogateescape")
    return f"{archive}#bytes={span.start}+{span.size}&of={span.version}&name={name}"


def read_span(fragment: str) -> Span | None:
    """Return the span after the # of a reference, None if it is something else."""
    found = SPAN.fullmatch(fragment)
    if found is None:
        return None
    return Span(int(found[1]), int(found[2]), found[3], unquote(found[4], errors="surrogateescape"))


def describe_version(status: os.stat_result) -> str:
    """Return the version of a file: its size and modification time."""
    return f"{status.st_size}-{status.st_mtime_ns}"
