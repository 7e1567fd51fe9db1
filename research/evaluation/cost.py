"""Measures the cost of one image: milliseconds of processor time for each stage, compared with decoding the file."""

import io
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from research.stego.drawn import draw_picture
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes

SIDE: Final = 256
BATCH: Final = 64


def measure_cost(detector: Detector, repeats: int = 5) -> dict[str, Any]:
    """Return the cost in ms of a 256x256 PNG in each mode: decoding, planes, and scoring in a batch of 64.

    The cost is the processor time of the fastest of `repeats` runs, since disturbances only make a run slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    costs = {mode: _of_mode(detector, mode, repeats) for mode in ("RGB", "RGBA", "P")}
    torch.set_num_threads(threads)
    return {"unit": "ms of one core per image", "side": SIDE, "batch": BATCH, "by_mode": costs}


def _of_mode(detector: Detector, mode: str, repeats: int) -> dict[str, float]:
    picture = draw_picture(np.random.default_rng(1), "photo", (SIDE, SIDE))
    buffer = io.BytesIO()
    (picture.quantize(256) if mode == "P" else picture.convert(mode)).save(buffer, "PNG")
    data = buffer.getvalue()

    def decode() -> Image.Image:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image

    image = decode()
    planes = [extract_planes(image, data)] * BATCH
    costs = {
        "decode": _best(lambda: [decode() for _ in range(10)], repeats) / 10,
        "planes": _best(lambda: [extract_planes(image, data) for _ in range(BATCH)], repeats) / BATCH,
        "score": _best(lambda: detector.score(planes), repeats) / BATCH,
    }
    costs["v4"] = costs["planes"] + costs["score"]
    costs["ratio_to_decode"] = costs["v4"] / costs["decode"]
    return {name: round(value, 3) for name, value in costs.items()}


def _best(run: Callable[[], object], repeats: int) -> float:
    """Return the processor time of the fastest run, in ms."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return 1000.0 * min(times)
