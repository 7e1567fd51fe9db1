"""Spans: references of members of an archive that stand in it as they are, so that they are read from there.

`ARCHIVE#bytes=START+SIZE&of=VERSION&name=NAME`: a file, or an object of a bucket, and the version that it had.
Nobody believes the numbers: whoever reads a span reads within the archive, and in this version alone.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SPAN = re.compile(r"bytes=(\d{1,18})\+(\d{1,18})&of=([^&]+)&name=([^&]*)")


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a member within its archive, which has this version; `name` may have surrogates for odd bytes."""

    start: int
    size: int
    version: str
    name: str


def refer_to_span(archive: str, span: Span) -> str:
    """Return the reference of a member of the archive that has this URI."""
    name = quote(span.name, errors="surrogateescape")
    return f"{archive}#bytes={span.start}+{span.size}&of={span.version}&name={name}"


def read_span(fragment: str) -> Span | None:
    """Return the span that is behind the # of a reference, None where there is something else."""
    found = SPAN.fullmatch(fragment)
    if found is None:
        return None
    return Span(int(found[1]), int(found[2]), found[3], unquote(found[4], errors="surrogateescape"))


def describe_version(status: os.stat_result) -> str:
    """Return the version of a file: its size, and when it was changed."""
    return f"{status.st_size}-{status.st_mtime_ns}"
