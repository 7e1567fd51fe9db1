"""A minimal `POST /scan/image` with V4, for comparison: FastAPI and its threads, no storage, no limits.

`serving` runs one process for each core: `python -m research.benchmark.bare_api PORT`.
"""

import socket
import sys
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes

torch.set_num_threads(1)
detector = Detector.load(DEFAULT_MODEL)
app = FastAPI()


@app.get("/health")
def tell_health() -> dict[str, str]:
    """Respond once the model is loaded."""
    return {"status": "ready"}


@app.post("/scan/image")
def scan_image(image: UploadFile) -> dict[str, Any]:
    """Return V4's score of an image."""
    data = image.file.read()
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        planes = extract_planes(picture, data)
    (score,) = detector.score(np.array([planes]))
    return asdict(score)


def main(port: int) -> None:
    """Serve on this port, which other processes share."""
    # Sockets of uvicorn's own worker processes have no protocol set, so asyncio does not disable Nagle's algorithm.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
        # Uvicorn would use faster libraries where another one has brought them along, and its figures would change.
        config = uvicorn.Config(app, log_level="warning", loop="asyncio", http="h11")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
