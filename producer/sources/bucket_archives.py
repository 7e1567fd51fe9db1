"""Archives in buckets, read in blocks, in the version that they had when they were opened."""

from typing import Final

import obstore

from producer.sources.errors import SourceAwayError
from producer.sources.listing import convert_store_errors
from storage.bucket_stores import OtherVersionError, choose_version, open_bucket, open_range
from storage.buckets import Location

# Readers read each member's header separately; a large block serves many of them with one request.
BLOCK_BYTES: Final = 4 * 2**20


class BucketArchive:
    """One archive. Opening it raises FileNotFoundError if there is none, SourceError and SourceAwayError."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._store = open_bucket(location.scheme, location.bucket)
        with convert_store_errors(location):
            try:
                found = obstore.head(self._store, location.path)
            except FileNotFoundError:
                found = None
        if found is None:
            raise FileNotFoundError(location)
        self.size: int = found["size"]
        self.version = choose_version(found)
        self._start = 0
        self._block = b""

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on, fewer at the end of the archive.

        Raises SourceError and SourceAwayError.
        """
        end = min(start + size, self.size)
        if not self._start <= start <= end <= self._start + len(self._block):
            self._block = self._fetch(start, min(max(end, start + BLOCK_BYTES), self.size))
            self._start = start
        return self._block[start - self._start : end - self._start]

    def _fetch(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        with convert_store_errors(self._location):
            try:
                return b"".join(open_range(self._store, self._location.path, self.version, start, end).pieces)
            except (OtherVersionError, FileNotFoundError) as error:
                raise SourceAwayError(f"{self._location} changed while it was read: submit it again") from error
