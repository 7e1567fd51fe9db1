"""The least that answers `POST /scan/image` with V4: FastAPI and its threads, nothing stored, nothing bounded.

`serving` runs it beside the API, a process for each core: `python -m research.benchmark.bare_api PORT`.
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
    """Answer once the model is loaded."""
    return {"status": "ready"}


@app.post("/scan/image")
def scan_image(image: UploadFile) -> dict[str, Any]:
    """Return the score of an image."""
    data = image.file.read()
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        planes = extract_planes(picture, data)
    (score,) = detector.score(np.array([planes]))
    return asdict(score)


def main(port: int) -> None:
    """Serve on this port, which other processes may listen on too."""
    # Of uvicorn's own processes the sockets do not say that they are TCP, and asyncio leaves their answers to Nagle.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
