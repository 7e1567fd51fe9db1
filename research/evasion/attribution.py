"""What an answer of the network rests on: its logit without a stream, and with a few bytes as the cover had them."""

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
"""Bytes of the bit stream that are restored at once."""
_WINDOWS: Final = 32


def find_logits(detector: Detector, planes: Sequence[np.void], stream: str | None = None) -> Logits:
    """Return the stego logits of images, with one stream of `INPUTS` taken away if it is named."""
    with torch.inference_mode():
        streams = compute(stack(planes, detector.device))
        heads = detector.network(streams if stream is None else without(streams, stream))
    logits: Logits = heads.stego.double().cpu().numpy()
    return logits


def measure_streams(detector: Detector, planes: Sequence[np.void]) -> dict[str, float]:
    """Return the median of the logits with all streams (`none` is missing), and without each."""
    return {
        "none": _median(find_logits(detector, planes)),
        **{stream: _median(find_logits(detector, planes, stream)) for stream in INPUTS},
    }


def restore_windows(detector: Detector, stego: np.void, cover: np.void) -> list[float]:
    """Return how far the logit falls where `WINDOW` bytes of R, G, B's bits are the cover's again, window by window.

    Where it falls most stands what the network takes for a payload; where it rises, what speaks against one.
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
    """Return, window by window, the first byte and the mean fall over examples that reach there."""
    longest = max(map(len, falls), default=0)
    rows = []
    for window in range(longest):
        reached = [each[window] for each in falls if len(each) > window]
        rows.append({"byte": window * WINDOW, "fall": round(float(np.mean(reached)), 3), "examples": len(reached)})
    return rows


def _median(logits: Logits) -> float:
    return round(float(np.median(logits)), 2)
