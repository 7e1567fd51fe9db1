"""What `s3://`, `gs://` and `az://` name, and who checks a reference understands it as who reads it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

# What a bucket, or a container of Azure, may be called.
BUCKET_NAMES: Final = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    "gs": re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"),
    "az": re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*"),
}


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket, and in it an object or all that lies below a name; `path` is decoded, and may be empty."""

    scheme: str
    bucket: str
    path: str

    def lies_in(self, others: "Iterable[Location]") -> bool:
        """Whether one of these is the whole bucket, the same path, or above it by whole segments."""
        return any(
            (self.scheme, self.bucket) == (other.scheme, other.bucket)
            and (not other.path or f"{self.path}/".startswith(f"{other.path}/"))
            for other in others
        )

    def __str__(self) -> str:
        """Return the URI that names it."""
        return f"{self.scheme}://{self.bucket}/{quote(self.path)}".rstrip("/")


def is_in_bucket(uri: str) -> bool:
    """Whether a URI names something in a bucket."""
    return uri.partition("://")[0].lower() in BUCKET_NAMES


def is_prefix(uri: str) -> bool:
    """Whether a URI of something in a bucket names all that lies below it: it ends in a slash, or is a bucket alone."""
    return uri.endswith("/") or "/" not in uri.partition("://")[2]


def read_location(uri: str) -> Location:
    """Return what the URI names; raises ValueError where no bucket or object can be called so."""
    parts = urlsplit(uri)
    if parts.scheme not in BUCKET_NAMES:
        raise ValueError(f"must start with {', '.join(f'{scheme}://' for scheme in BUCKET_NAMES)}")
    if parts.query or parts.fragment:
        raise ValueError("there is a ? or # in it: as part of a name, these are %3F and %23")
    if not BUCKET_NAMES[parts.scheme].fullmatch(parts.netloc):
        raise ValueError(f"no bucket can be called {parts.netloc!r}")
    path = unquote(parts.path).strip("/")
    if path and {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"no object can be called {path!r}")
    return Location(parts.scheme, parts.netloc, path)
