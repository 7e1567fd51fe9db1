"""A sample of training or validation: an image file and its truth, whole or truncated."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from research.stego.planes import take_planes

Rng = np.random.Generator

_CARRIERS: Final = {"alpha": "alpha", "palette": "index", "lsb.rgb": "rgb"}
"""Plane with the samples of each method."""
_LONGEST_HEADER: Final = 96


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and its truth.

    `method` and `bit_order` are None for a clean image. `kind` is the method of a stego image, `twin`, `untouched`,
    `harmless` or `drawn KIND`; `payload` is what was hidden, `binary` means that it is not text, and `writer` names its
    format. `is_cut` means that the file is truncated.
    """

    data: bytes
    kind: str
    method: str | None = None
    bit_order: str | None = None
    payload: bytes = b""
    binary: bool = False
    writer: str = ""
    is_cut: bool = False


def cut_off(rng: Rng, sample: Sample) -> Sample:
    """Truncate a file at a random place, like an incomplete download."""
    return replace(sample, data=sample.data[: int(len(sample.data) * rng.uniform(0.3, 0.98))], is_cut=True)


def has_payload_left(whole: Sample, cut: Sample) -> bool:
    """Return whether the truncated image still has the payload and its header."""
    if whole.method not in _CARRIERS:
        return False
    try:
        before, after = take_planes(whole.data), take_planes(cut.data, is_cut=True)
    except (OSError, ValueError):
        return False
    samples = 8 * (2 * len(whole.payload) + _LONGEST_HEADER)
    carrier = _CARRIERS[whole.method]
    return np.array_equal(before[carrier][:samples], after[carrier][:samples])
