"""The least that answers `POST /scan/image` with V4: FastAPI and its threads, nothing stored, nothing bounded.

`serving` runs it beside the API, a process for each core.
"""

from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
import torch
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
