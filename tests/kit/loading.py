"""Loads references without a pipeline."""

import os
from pathlib import Path

from producer.sources.expansion import refer_to_file
from storage.blobs import Blobs
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.content import ContentReader
from worker.scanning.image_error import ImageError
from worker.scanning.loading import Loader

LIMIT = 100_000


class BytesLoader:
    """Loads references of up to `limit` bytes, without large images."""

    def __init__(self, blobs: Blobs, limit: int) -> None:
        self._loader = Loader(blobs)
        self._reader = ContentReader(limit, None)

    def load(self, uri: str) -> bytes:
        """Return the bytes; raises ImageError."""
        return self._loader.load(uri, self._reader).data


def refer_to(path: Path | str) -> str:
    """Return the reference of a file."""
    return refer_to_file(os.fsencode(path))


def get_refusal(loader: BytesLoader, uri: str) -> ImageError:
    """Return the error of a reference that cannot be loaded; fails after a timeout."""
    error = start_thread(loader.load, uri).exception(PATIENCE_S)
    assert isinstance(error, ImageError), f"{uri}: {error!r}"
    return error
