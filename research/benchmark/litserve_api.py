"""`POST /scan/image` with V4 and LitServe, for comparison: batches, no storage.

`serving` runs it, if `litserve` is installed, with one worker for each core:
`python -m research.benchmark.litserve_api PORT WORKERS`.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

import litserve
import numpy as np
import torch
from fastapi import Request
from PIL import Image

from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector, Score
from worker.v4.planes import PlaneArray, extract_planes

MAX_BATCH = 64
# Waiting longer would fill batches, but on processors a larger batch saves less than the wait costs; without any wait
# LitServe's workers would look for requests in a busy loop.
BATCH_WAIT_S = 0.002


class ImageApi(litserve.LitAPI):
    """Decodes images one by one and scores them as a batch."""

    def setup(self, device: str) -> None:
        """Load V4."""
        torch.set_num_threads(1)
        self.detector = Detector.load(DEFAULT_MODEL, device)

    def decode_request(self, request: Request) -> np.void:
        """Return the planes of the uploaded image; LitServe passes the form's fields."""
        data = request["image"].file.read()
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            return extract_planes(picture, data)

    def batch(self, inputs: Sequence[np.void]) -> PlaneArray:
        """Return the planes of several images as one array."""
        return np.stack(inputs)

    def predict(self, x: PlaneArray) -> list[Score]:
        """Return V4's score of each image."""
        return self.detector.score(x)

    def unbatch(self, output: list[Score]) -> list[Score]:
        """Return the scores, which are separate already."""
        return output

    def encode_response(self, output: Score) -> dict[str, Any]:
        """Return a score as JSON."""
        return asdict(output)


def main(port: int, workers: int) -> None:
    """Serve on this port until killed."""
    api = ImageApi(max_batch_size=MAX_BATCH, batch_timeout=BATCH_WAIT_S, api_path="/scan/image")
    # Its makers recommend this queue above 100 requests a second.
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers, fast_queue=True)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
