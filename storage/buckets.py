"""Parsing of `s3://`, `gs://` and `az://` URIs; the check of a reference and its reader both use this module."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

# Valid names of buckets, and of containers of Azure.
BUCKET_NAMES: Final = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    "gs": re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"),
    "az": re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*"),
}
# What is wrong with a URI that has a query or a fragment; the URI is the subject of the sentence.
HAS_MARKS: Final = "contains ? or #: as part of a name, write %3F or %23"


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket, and a path in it: an object or a prefix; `path` is decoded, and may be empty."""

    scheme: str
    bucket: str
    path: str

    def lies_in(self, others: "Iterable[Location]") -> bool:
        """Whether one of these is the whole bucket, the same path, or a parent of it by whole segments."""
        return any(
            (self.scheme, self.bucket) == (other.scheme, other.bucket)
            and (not other.path or f"{self.path}/".startswith(f"{other.path}/"))
            for other in others
        )

    def __str__(self) -> str:
        """Return its URI."""
        return f"{self.scheme}://{self.bucket}/{quote(self.path)}".rstrip("/")


def is_in_bucket(uri: str) -> bool:
    """Whether a URI points into a bucket."""
    return uri.partition("://")[0].lower() in BUCKET_NAMES


def is_prefix(uri: str) -> bool:
    """Whether the URI is a prefix: it ends in a slash, or has no path."""
    return uri.endswith("/") or "/" not in uri.partition("://")[2]


def read_location(uri: str) -> Location:
    """Parse a URI; raises ValueError if no bucket or object can have this name."""
    parts = urlsplit(uri)
    if parts.scheme not in BUCKET_NAMES:
        raise ValueError(f"must start with {', '.join(f'{scheme}://' for scheme in BUCKET_NAMES)}")
    if parts.query or parts.fragment:
        raise ValueError(HAS_MARKS)
    if not BUCKET_NAMES[parts.scheme].fullmatch(parts.netloc):
        raise ValueError(f"{parts.netloc!r} is not a valid bucket name")
    path = unquote(parts.path).strip("/")
    if path and {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"{path!r} is not a valid object name")
    return Location(parts.scheme, parts.netloc, path)
