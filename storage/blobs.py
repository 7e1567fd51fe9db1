"""Content-addressed blobs: bytes stored once under their SHA-256, in a local folder or an object store."""

import hashlib
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore, from_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig


# Short: whoever loads an image has other images to load meanwhile, and tries again later. Plain HTTP is used only with
# an endpoint of one's own that says so.
CLIENT: "ClientConfig" = {"allow_http": True, "connect_timeout": "5s", "timeout": "30s"}
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


class Blobs:
    """A blob store at a URL that `obstore` knows: `file:///…`, `s3://…`, `gs://…`, `az://…`."""

    def __init__(self, url: str) -> None:
        if url.startswith("file://"):
            Path(unquote(urlsplit(url).path)).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store: ObjectStore = from_url(url, client_options=CLIENT, retry_config=RETRIES)

    def put(self, data: bytes) -> str:
        """Store the bytes unless they are there; return their SHA-256 in hex."""
        digest = hashlib.sha256(data).hexdigest()
        with suppress(AlreadyExistsError):
            obstore.put(self._store, self._path(digest), data, mode="create")
        return digest

    def get(self, digest: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a blob; raises FileNotFoundError where there is none of this digest."""
        return read_object(self._store, self._path(digest), limit)

    @staticmethod
    def _path(digest: str) -> str:
        return f"{digest[:2]}/{digest}"


def read_object(store: ObjectStore, path: str, limit: int) -> bytes:
    """Return the first `limit` bytes of an object; raises FileNotFoundError where there is none."""
    size = obstore.head(store, path)["size"]
    if size == 0:
        return b""
    return bytes(obstore.get_range(store, path, start=0, end=min(size, limit)))
