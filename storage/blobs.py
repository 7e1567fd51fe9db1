"""Content-addressed blobs: bytes stored once under their SHA-256, in a local folder or an object store."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore, from_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig


# Short timeouts, because a worker can load other images meanwhile and retry later. The overall timeout is long, because
# it includes waiting for memory in the middle of an object. Plain HTTP is allowed only if the environment sets an
# endpoint with it.
CLIENT: "ClientConfig" = {"allow_http": True, "connect_timeout": "5s", "read_timeout": "30s", "timeout": "300s"}
PIECE_BYTES = 2**20
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is read as a stream: its size and its pieces; iterating raises the errors of `obstore`."""

    size: int
    pieces: Iterator[bytes]


def open_object(store: ObjectStore, path: str) -> StoredObject:
    """Request an object once and return it; raises FileNotFoundError if it does not exist."""
    found = obstore.get(store, path)
    return StoredObject(found.meta["size"], map(bytes, found.stream(min_chunk_size=PIECE_BYTES)))


def find_folder(url: str) -> Path | None:
    """Return the folder of the store at this URL, None if it is not on a local disk."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None


def refer_to_blob(digest: str, name: str) -> str:
    """Return the reference of a blob, given its SHA-256 in hex and a name to show."""
    return f"blob://{digest}/{quote(name)}"


class Blobs:
    """A blob store at a URL that `obstore` supports: `file:///…`, `s3://…`, `gs://…`, `az://…`."""

    def __init__(self, url: str) -> None:
        self._folder = find_folder(url)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store: ObjectStore = from_url(url, client_options=CLIENT, retry_config=RETRIES)

    def count_free_bytes(self) -> int | None:
        """Return the free space in bytes, None if the store does not report it."""
        return None if self._folder is None else disk_usage(self._folder).free

    def put(self, data: bytes) -> str:
        """Store the bytes unless they exist; return their SHA-256 in hex."""
        digest = hashlib.sha256(data).hexdigest()
        self.put_as(digest, data)
        return digest

    def put_as(self, digest: str, data: bytes) -> None:
        """Store the bytes with this SHA-256 unless they exist."""
        with suppress(AlreadyExistsError):
            obstore.put(self._store, self._path(digest), data, mode="create")

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these unless it exists; return their SHA-256 in hex."""
        return [self.put(data) for data in images]

    def delete_all(self, digests: Sequence[str]) -> None:
        """Delete the blobs with these digests; missing ones are not an error."""
        paths = [self._path(digest) for digest in digests]
        try:
            obstore.delete(self._store, paths)
        except FileNotFoundError:
            # Only object stores continue after a missing blob; a folder stops.
            for path in paths:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)

    def open(self, digest: str) -> StoredObject:
        """Return the blob with this digest; raises FileNotFoundError if it does not exist."""
        return open_object(self._store, self._path(digest))

    def get(self, digest: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a blob; raises FileNotFoundError if it does not exist."""
        pieces, size = [], 0
        for piece in self.open(digest).pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= limit:
                break
        return b"".join(pieces)[:limit]

    @staticmethod
    def _path(digest: str) -> str:
        return f"{digest[:2]}/{digest}"
