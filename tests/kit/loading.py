"""Loads references without a pipeline."""

from storage.blobs import Blobs
from worker.scanning.content import ContentReader
from worker.scanning.loading import Loader


class BytesLoader:
    """Loads references of up to `limit` bytes, without large images."""

    def __init__(self, blobs: Blobs, limit: int) -> None:
        self._loader = Loader(blobs)
        self._reader = ContentReader(limit, None)

    def load(self, uri: str) -> bytes:
        """Return the bytes; raises ImageError."""
        return self._loader.load(uri, self._reader).data
