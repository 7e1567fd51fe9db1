"""Estimates the value of a sixth stream: carriers outside the five methods, shown to the network in place of its own.

Samples are rearranged so that the carrier's bits are where the network reads `lsb.rgb`, and texts are put where it
reads a UserComment. So no retraining is needed, and the figures are those of one additional pass of the network:
detection, false positives and cost.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.stego.corpus import Corpus, open_image
from research.stego.covers import adapt, upper_left
from research.stego.headers import draw_writing
from worker.v4.detector import Detector
from worker.v4.planes import NUMBERS, SAMPLES, TEXT_BYTES, extract_planes

Samples = NDArray[np.uint8]
Rng = np.random.Generator

_SIDE: Final = 512
_TEXT: Final = (32, 400)
_WRITERS: Final = ("no end", "length of 4 bytes, big-endian, in bytes")
_COMMENTS: Final = ("comment", "Comment", "Description", "Software", "XML:com.adobe.xmp", "xmp", "parameters", "Title")


def _reversed_colours(pixels: Samples) -> Samples:
    return pixels[:, ::-1].reshape(-1)


def _red(pixels: Samples) -> Samples:
    return pixels[:, 0].copy()


def _from_second(pixels: Samples) -> Samples:
    return pixels[1:].reshape(-1)


def _two_bits(pixels: Samples) -> Samples:
    """Return each sample as two, with its second and its first bit in the least significant place."""
    flat = pixels.reshape(-1)
    return np.stack([(flat & 0xFC) | (flat >> 1 & 1), flat & 0xFD], axis=1).reshape(-1)


READINGS: Final[dict[str, Callable[[Samples], Samples]]] = {
    "R,G,B from the first pixel": lambda pixels: pixels.reshape(-1),
    "B,G,R": _reversed_colours,
    "two bits of each sample": _two_bits,
    "red only": _red,
    "from the second pixel": _from_second,
}


def measure_carriers(detector: Detector, corpus: Corpus, seed: int, covers: int) -> dict[str, Any]:
    """Return for each carrier the detection rate of text, the false-positive rate and the cost of a pass in ms."""
    pictures = list(islice(_pictures(corpus, seed), covers))
    rows: dict[str, Any] = {}
    for name, read in READINGS.items():
        rng = np.random.default_rng([seed, 4])
        clean, stego = [], []
        for picture in pictures:
            planes = extract_planes(picture, b"")
            samples = read(np.asarray(picture)[:, :, :3].reshape(-1, 3))
            clean.append(_show(planes, samples))
            size = int(rng.integers(*_TEXT))
            written = draw_writing(rng, _WRITERS[rng.integers(len(_WRITERS))], size).written
            bits = np.unpackbits(np.frombuffer(written, np.uint8))[: samples.size]
            hidden = samples.copy()
            hidden[: bits.size] = hidden[: bits.size] & 0xFE | bits
            stego.append(_show(planes, hidden))
        rows[name] = {
            "found": _share(detector, stego), "false_positives": _share(detector, clean), "of": len(pictures),
            "ms": round(_cost(detector, clean), 3),
        }  # fmt: skip
    rows["comments and XMP"] = _comments(detector, corpus)
    return rows


def _pictures(corpus: Corpus, seed: int) -> Iterator[Image.Image]:
    rng = np.random.default_rng([seed, 5])
    while True:
        try:
            picture = adapt(rng, upper_left(open_image(corpus.draw(rng).read_bytes()), _SIDE), "lsb.rgb").convert("RGB")
        except (OSError, ValueError):
            continue
        if picture.width * picture.height >= 64 * 64:
            yield picture


def _show(planes: np.void, samples: Samples) -> np.void:
    """Return the planes with `samples` in place of those of R, G, B."""
    shown = planes.copy()
    count = min(samples.size, SAMPLES)
    shown["rgb"][:count] = samples[:count]
    shown["rgb"][count:] = 0
    shown["numbers"][NUMBERS.index("rgb_count")] = count
    return shown


def _comments(detector: Detector, corpus: Corpus) -> dict[str, Any]:
    """Score the real comments and XMP packets of clean images as if they were UserComments."""
    shown = []
    for path in corpus.paths:
        try:
            image = open_image(path.read_bytes())
        except (OSError, ValueError):
            continue
        for key in _COMMENTS:
            value = image.info.get(key)
            text = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""
            if len(text) >= 4:
                planes = extract_planes(Image.new("RGB", image.size), b"")
                numbers = planes["numbers"]
                for plane, number in (("user_comment", "user_comment_size"), ("comment_text", "comment_text_size")):
                    kept = np.frombuffer(text[:TEXT_BYTES], np.uint8)
                    planes[plane][: kept.size] = kept
                    numbers[NUMBERS.index(number)] = min(len(text), TEXT_BYTES)
                shown.append(planes)
                break
    return {"found": None, "false_positives": _share(detector, shown), "of": len(shown), "ms": None}


def _share(detector: Detector, planes: list[np.void]) -> float:
    found = 0
    for start in range(0, len(planes), 64):
        found += sum(score.is_stego for score in detector.score(planes[start : start + 64]))
    return round(found / max(1, len(planes)), 4)


def _cost(detector: Detector, planes: list[np.void]) -> float:
    """Return the processor time per image in ms: the best of five runs over a batch of 64."""
    batch = planes[:64]
    times = []
    for _ in range(5):
        started = time.process_time()
        detector.score(batch)
        times.append(time.process_time() - started)
    return 1000.0 * min(times) / len(batch)
