"""Attributes the network's output: its logit without a stream, and with some bytes restored to those of the cover."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from research.evaluation.ablation import without
from research.evasion.files import encode_png
from research.evasion.placing import in_order, write_bits
from research.stego.drawn import draw_picture
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes, read_number
from worker.v4.streams import INPUTS, compute, stack

Logits = NDArray[np.float64]

WINDOW: Final = 8
"""Bytes of the bit stream that are restored together."""
_WINDOWS: Final = 32
_SHOWN: Final = 16
_EXAMPLE_SEED: Final = 4
_WORDS: Final = b"The meeting is moved to Thursday at noon. Bring the second key and come alone; the gate is open."


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


def explain_examples(detector: Detector) -> list[dict[str, Any]]:
    """Explain V4's answers on examples: the same words in the same drawn picture, hidden in different ways.

    Each has the logit with and without what is hidden, and the bytes of V4's sequence with their drop, by windows.
    """
    cover = draw_picture(np.random.default_rng(_EXAMPLE_SEED), "photo", (96, 96)).convert("RGB")
    samples = np.asarray(cover)
    before = extract_planes(cover, encode_png(cover))
    key = np.random.default_rng(_EXAMPLE_SEED).bytes(len(_WORDS))
    ciphertext = bytes(word ^ secret for word, secret in zip(_WORDS, key, strict=True))
    ways = {
        "text": (0, _WORDS + b"\x00"),
        "ciphertext behind its length": (0, len(ciphertext).to_bytes(4, "big") + ciphertext),
        "ciphertext, bare": (0, ciphertext),
        "text from the second row": (3 * cover.width, _WORDS + b"\x00"),
    }
    explained = []
    for name, (skip, payload) in ways.items():
        bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        hidden = write_bits(np.random.default_rng(0), samples, in_order(samples)[skip:], bits)
        stego = extract_planes(Image.fromarray(hidden), encode_png(Image.fromarray(hidden)))
        shown = np.packbits(stego["rgb"][: 8 * WINDOW * _SHOWN] & 1).tobytes()
        falls = restore_windows(detector, stego, before)[:_SHOWN]
        explained.append(
            {
                "hidden": name,
                "logit": round(float(find_logits(detector, [stego])[0]), 2),
                "logit_of_cover": round(float(find_logits(detector, [before])[0]), 2),
                "windows": [
                    {"bytes": _spell(shown[WINDOW * number :][:WINDOW]), "fall": round(fall, 2)}
                    for number, fall in enumerate(falls)
                ],
            }
        )
    return explained


def _spell(data: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "_" if byte == 32 else "·" for byte in data)


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
