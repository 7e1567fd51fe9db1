"""Attributes the network's output: its logit without a stream, and with a few bytes restored to those of the cover."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from research.evaluation.ablation import without
from worker.v4.detector import Detector
from worker.v4.planes import read_number
from worker.v4.streams import INPUTS, compute, stack

Logits = NDArray[np.float64]

WINDOW: Final = 8
"""Bytes of the bit stream that are restored together."""
_WINDOWS: Final = 32


def find_logits(detector: Detector, planes: Sequence[np.void], stream: str | None = None) -> Logits:
    """Return the stego logits of images, optionally without one stream of `INPUTS`."""
    with torch.inference_mode():
        streams = compute(stack(planes, detector.device))
        heads = detector.network(streams if stream is None else without(streams, stream))
    logits: Logits = heads.stego.double().cpu().numpy()
    return logits


def measure_streams(detector: Detector, planes: Sequence[np.void]) -> dict[str, float]:
    """Return the median logit with all streams (key `none`) and without each one."""
    return {
        "none": _median(find_logits(detector, planes)),
        **{stream: _median(find_logits(detector, planes, stream)) for stream in INPUTS},
    }


def restore_windows(detector: Detector, stego: np.void, cover: np.void) -> list[float]:
    """Return the drop of the logit when `WINDOW` bytes of the R, G, B bit stream are restored, for each window.

    A large drop marks bytes that the network considers part of a payload; a rise marks evidence against one.
    """
    count = read_number(stego, "rgb_count")
    shown = [stego]
    for start in range(0, min(count, 8 * WINDOW * _WINDOWS), 8 * WINDOW):
        restored = stego.copy()
        restored["rgb"][start : start + 8 * WINDOW] = cover["rgb"][start : start + 8 * WINDOW]
        shown.append(restored)
    logits = find_logits(detector, shown)
    return [float(value) for value in logits[0] - logits[1:]]


def average_windows(falls: Sequence[list[float]]) -> list[dict[str, Any]]:
    """Return for each window its first byte and the mean drop over the examples that have it."""
    longest = max(map(len, falls), default=0)
    rows = []
    for window in range(longest):
        reached = [each[window] for each in falls if len(each) > window]
        rows.append({"byte": window * WINDOW, "fall": round(float(np.mean(reached)), 3), "examples": len(reached)})
    return rows


def _median(logits: Logits) -> float:
    return round(float(np.median(logits)), 2)
