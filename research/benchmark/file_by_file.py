"""Scans in one thread of one process with Pillow and V4, without storing anything, for comparison.

This is what a script would do: no limits, no hash, and images are decoded in the process that scores them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import torch
from PIL import Image

from research.benchmark.pictures import find_file
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.planes import PLANES, extract_planes


class FileByFile:
    """Decodes one image at a time in the calling process, and scores one or many."""

    def __init__(self, torch_name: str | None) -> None:
        torch.set_num_threads(1)
        self._detector = Detector.load(DEFAULT_MODEL, torch_name) if torch_name else None

    def decode(self, uri: str) -> None:
        """Read and decode an image."""
        with decode_file(uri):
            pass

    def scan(self, uri: str) -> float:
        """Return the stego probability of an image."""
        return self.scan_batch([uri])[0]

    def scan_batch(self, uris: Sequence[str]) -> list[float]:
        """Return the stego probabilities of images, scored as one batch."""
        assert self._detector is not None
        planes = np.empty(len(uris), PLANES)
        for uri, row in zip(uris, planes, strict=True):
            with decode_file(uri) as (image, data):
                extract_planes(image, data, row)
        return [score.stego_probability for score in self._detector.score(planes)]


@contextmanager
def decode_file(uri: str) -> Iterator[tuple[Image.Image, bytes]]:
    """Yield the decoded image of a `file://` reference, and the bytes of the file."""
    data = find_file(uri).read_bytes()
    with Image.open(BytesIO(data)) as image:
        image.load()
        yield image, data
