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


# Short: whoever loads an image has other images to load meanwhile, and tries again later. A read that takes 30 s is too
# long, and the whole only where it is hopeless: what we wait for memory in the middle of an object counts in it. Plain
# HTTP is used only with an endpoint of one's own that says so.
CLIENT: "ClientConfig" = {"allow_http": True, "connect_timeout": "5s", "read_timeout": "30s", "timeout": "300s"}
PIECE_BYTES = 2**20
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object whose bytes are read as they come: its size, and its pieces, which raise what `obstore` raises."""

    size: int
    pieces: Iterator[bytes]


def open_object(store: ObjectStore, path: str) -> StoredObject:
    """Return an object, asked for once; raises FileNotFoundError where there is none."""
    found = obstore.get(store, path)
    return StoredObject(found.meta["size"], map(bytes, found.stream(min_chunk_size=PIECE_BYTES)))


def find_folder(url: str) -> Path | None:
    """Return the folder in which the store at this URL keeps its blobs, None where it is elsewhere."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None


def refer_to_blob(digest: str, name: str) -> str:
    """Return the reference of a blob, by its SHA-256 in hex, that shows this name."""
    return f"blob://{digest}/{quote(name)}"


class Blobs:
    """A blob store at a URL that `obstore` knows: `file:///…`, `s3://…`, `gs://…`, `az://…`."""

    def __init__(self, url: str) -> None:
        self._folder = find_folder(url)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store: ObjectStore = from_url(url, client_options=CLIENT, retry_config=RETRIES)

    def count_free_bytes(self) -> int | None:
        """Return how many bytes there is room for, None where the store does not say."""
        return None if self._folder is None else disk_usage(self._folder).free

    def put(self, data: bytes) -> str:
        """Store the bytes unless they are there; return their SHA-256 in hex."""
        digest = hashlib.sha256(data).hexdigest()
        self.put_as(digest, data)
        return digest

    def put_as(self, digest: str, data: bytes) -> None:
        """Store the bytes, whose SHA-256 is known, unless they are there."""
        with suppress(AlreadyExistsError):
            obstore.put(self._store, self._path(digest), data, mode="create")

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these unless it is there; return their SHA-256 in hex."""
        return [self.put(data) for data in images]

    def delete_all(self, digests: Sequence[str]) -> None:
        """Delete the blobs of these digests; those that are not there are no error."""
        paths = [self._path(digest) for digest in digests]
        try:
            obstore.delete(self._store, paths)
        except FileNotFoundError:
            # A folder deletes no more once one is not there; only object stores do.
            for path in paths:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)

    def open(self, digest: str) -> StoredObject:
        """Return the blob of this digest; raises FileNotFoundError where there is none."""
        return open_object(self._store, self._path(digest))

    def get(self, digest: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a blob; raises FileNotFoundError where there is none of this digest."""
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
