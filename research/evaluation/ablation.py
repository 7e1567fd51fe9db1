"""Ablation: the figures of the trained network on images with one stream removed.

The network is not retrained without the stream, so a drop shows how much this network relies on it, not what a network
trained without it would miss.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from research.evaluation.trials import Case
from starlight_vocabulary.words import METHODS
from worker.v4.detector import Detector
from worker.v4.streams import INPUTS, SLOTS, Streams, compute, stack
from worker.v4.utf8 import PADDING

_SLOTS_OF: Final = {"meta": (0, 1, 2, 3), "alpha": (4,), "lsb": (5, 6), "palette_lsb": (7, 8)}
_PAIRS_OF: Final = {"alpha": 0, "palette_lsb": 1, "lsb": 2}


def ablate(detector: Detector, cases: Sequence[Case], batch: int = 64) -> dict[str, dict[str, Any]]:
    """Return text detection by method and the false-positive rate, with all streams and without each one."""
    rows = {name: _figures(cases, _probabilities(detector, cases, name, batch), detector) for name in INPUTS}
    return {"none": _figures(cases, _probabilities(detector, cases, None, batch), detector), **rows}


def without(streams: Streams, name: str) -> Streams:
    """Return the streams of a batch with one of `INPUTS` removed."""
    if name not in _SLOTS_OF:
        return replace(streams, **{name: torch.zeros_like(getattr(streams, name))})
    slots = list(_SLOTS_OF[name])
    content, present, pairs = streams.content.clone(), streams.present.clone(), streams.pairs.clone()
    content[:, slots] = 0.0
    present[:, slots] = False
    if name in _PAIRS_OF:
        pairs[:, _PAIRS_OF[name]] = 0.0
    tokens = torch.full_like(getattr(streams, name), PADDING)
    return replace(streams, **{name: tokens, "content": content, "present": present, "pairs": pairs})


def _probabilities(detector: Detector, cases: Sequence[Case], name: str | None, batch: int) -> Tensor:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(cases), batch):
            streams = compute(stack([case.planes for case in cases[start : start + batch]], detector.device))
            heads = detector.network(streams if name is None else without(streams, name))
            parts.append(torch.sigmoid(heads.stego.double()).cpu())
    return torch.cat(parts)


def _figures(cases: Sequence[Case], probability: Tensor, detector: Detector) -> dict[str, Any]:
    found = (probability >= detector.model.threshold).tolist()

    def share(chosen: list[bool]) -> float:
        return round(sum(chosen) / max(1, len(chosen)), 5)

    return {
        "detection": {
            method: share(
                [
                    hit
                    for case, hit in zip(cases, found, strict=True)
                    if case.group == "text" and case.sample.method == method
                ]
            )
            for method in METHODS
        },
        "false_positives": share([hit for case, hit in zip(cases, found, strict=True) if case.sample.method is None]),
    }


assert len(SLOTS) == sum(len(slots) for slots in _SLOTS_OF.values())
