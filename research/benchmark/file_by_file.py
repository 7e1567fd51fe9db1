"""Scans in one thread of one process without storing anything, for comparison: image by image or in batches."""

from collections.abc import Sequence

import numpy as np
import torch

from storage.blobs import Blobs
from storage.settings import Settings
from worker.scanning.budget import Budget
from worker.scanning.content import ContentReader
from worker.scanning.decoding import Decoder
from worker.scanning.loading import Loader
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.planes import PLANES, extract_planes


class FileByFile:
    """Loads and decodes one image at a time in the calling process, and scores one or many."""

    def __init__(self, settings: Settings, torch_name: str | None) -> None:
        torch.set_num_threads(1)
        self._loader = Loader(Blobs(settings.blobs()))
        self._reader = ContentReader(settings.max_image_bytes, Budget(settings.max_image_bytes))
        self._decoder = Decoder(settings.max_image_pixels, Budget(settings.decode_budget_bytes))
        self._detector = Detector.load(DEFAULT_MODEL, torch_name) if torch_name else None

    def decode(self, uri: str) -> None:
        """Load and decode an image."""
        with self._decoder.decode(self._load(uri)):
            pass

    def _load(self, uri: str) -> bytes:
        content = self._loader.load(uri, self._reader)
        content.release()
        return content.data

    def scan(self, uri: str) -> float:
        """Return the stego probability of an image."""
        assert self._detector is not None
        data = self._load(uri)
        with self._decoder.decode(data) as image:
            planes = extract_planes(image, data)
        return self._detector.score([planes])[0].stego_probability

    def scan_batch(self, uris: Sequence[str]) -> list[float]:
        """Return the stego probabilities of images, scored as one batch."""
        assert self._detector is not None
        planes = np.empty(len(uris), PLANES)
        for uri, row in zip(uris, planes, strict=True):
            data = self._load(uri)
            with self._decoder.decode(data) as image:
                extract_planes(image, data, row)
        return [score.stego_probability for score in self._detector.score(planes)]
