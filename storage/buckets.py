"""What `s3://` names, for who checks a reference and for who reads it: one must not understand more than the other."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket, and in it an object or all that lies below a name; `path` is decoded, and may be empty."""

    bucket: str
    path: str

    def lies_in(self, others: "Iterable[Location]") -> bool:
        """Whether one of these is the whole bucket, the same path, or above it by whole segments."""
        return any(
            self.bucket == other.bucket and (not other.path or f"{self.path}/".startswith(f"{other.path}/"))
            for other in others
        )

    def __str__(self) -> str:
        """Return the URI that names it."""
        return f"s3://{self.bucket}/{quote(self.path)}".rstrip("/")


def read_location(uri: str) -> Location:
    """Return what the URI names; raises ValueError where no bucket or object can be called so."""
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise ValueError("must start with s3://")
    if parts.query or parts.fragment:
        raise ValueError("there is a ? or # in it: as part of a name, these are %3F and %23")
    if not BUCKET_NAME.fullmatch(parts.netloc):
        raise ValueError(f"no bucket can be called {parts.netloc!r}")
    path = unquote(parts.path).strip("/")
    if path and {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"no object can be called {path!r}")
    return Location(parts.netloc, path)
