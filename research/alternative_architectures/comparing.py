"""Compares the detectors on the same images, at the same false-positive rates, with the same measurement of cost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.alternative_architectures.examples import (
    GROUPS,
    PIXEL_METHODS,
    Examples,
    Score,
    collect,
    select,
    take_picture,
)
from research.evaluation.rates import find_limit, make_rate
from research.evasion.measuring import Cover, find_probabilities
from research.evasion.ways import CHANGED, PLACED, WRITTEN, PixelWay
from research.stego.samples import Sample
from starlight_vocabulary.words import METHODS
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes

Scores: TypeAlias = NDArray[np.float64]

ALLOWED: Final = (0.01, 0.001)
"""False-positive rates at which the detectors are compared."""
CURVE: Final = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
V4: Final = "V4"
NETWORK: Final = "network"
"""V4's network, trained on the same examples as the other approaches."""
_ELSEWHERE: Final = (
    "ciphertext of 200 bytes, bare", "ciphertext in every sample", "text behind 1,024 bytes of noise",
    "B, G, R of each pixel", "column by column", "from the middle of the picture", "spread over the picture by a key",
    "ciphertext in 5% of the samples, spread by a key", "ciphertext in 25% of the samples, spread by a key",
    "ciphertext in 100% of the samples, spread by a key", "the same in every sample, by LSB matching",
    "adaptive (HILL), 0.4 bits a sample",
)  # fmt: skip
_REPEATS: Final = 3
_COSTED: Final = 256


def score_as_v4(detector: Detector) -> Score:
    """Return V4 as a detector like the others."""
    return lambda examples: find_probabilities(detector, list(examples.planes))


def find_thresholds(scores: Mapping[str, Scores], clean: NDArray[np.bool_], allowed: float) -> dict[str, float]:
    """Return for each detector the score that at most a share `allowed` of the clean images exceeds."""
    return {name: find_limit(values[clean], allowed) for name, values in scores.items()}


def compare(scores: Mapping[str, Scores], examples: Examples, allowed: float) -> dict[str, Any]:
    """Return the rates of each detector at its threshold for `allowed` false positives, by method and group."""
    limits = find_thresholds(scores, examples.is_clean, allowed)
    return {
        name: {
            "false_positives": _count(values[examples.is_clean] > limits[name]),
            "found": _by_group(values > limits[name], examples),
        }
        for name, values in scores.items()
    }


def find_beyond(scores: Mapping[str, Scores], examples: Examples, allowed: float) -> dict[str, Any]:
    """Return the detection rates on stego images that V4 misses, with all detectors at `allowed` false positives."""
    limits = find_thresholds(scores, examples.is_clean, allowed)
    missed = ~examples.is_clean & (scores[V4] <= limits[V4])
    return {
        name: {
            METHODS[method]: {
                group: _count(values[rows] > limits[name])
                for number, group in enumerate(GROUPS)
                if (rows := missed & select(examples, method, number)).any()
            }
            for method in range(len(METHODS))
        }
        for name, values in scores.items()
        if name != V4
    }


def combine(scores: Mapping[str, Scores], examples: Examples, allowed: float) -> dict[str, Any]:
    """Return the rates of V4 alone, and of V4 or another detector, each at half of the allowed false positives."""
    halves = find_thresholds(scores, examples.is_clean, allowed / 2.0)
    hits = {name: values > halves[name] for name, values in scores.items()}
    alone = scores[V4] > find_thresholds(scores, examples.is_clean, allowed)[V4]
    combined = {"V4 alone": alone, **{f"V4 or {name}": hits[V4] | hits[name] for name in scores if name != V4}}
    return {
        name: {"false_positives": _count(each[examples.is_clean]), "found": _count(each[~examples.is_clean])}
        for name, each in combined.items()
    }


def draw_curves(scores: Mapping[str, Scores], examples: Examples) -> dict[str, list[dict[str, float]]]:
    """Return each detector's detection rate of payloads in pixels at each false-positive rate of `CURVE`."""
    chosen = ~examples.is_clean & np.isin(examples.method, PIXEL_METHODS)
    curves: dict[str, list[dict[str, float]]] = {}
    for name, values in scores.items():
        limits = [find_limit(values[examples.is_clean], share) for share in CURVE]
        found = [round(float((values[chosen] > limit).mean()), 4) for limit in limits]
        curves[name] = [{"false_positives": x, "found": y} for x, y in zip(CURVE, found, strict=True)]
    return curves


def look_elsewhere(
    detectors: Mapping[str, Score],
    covers: Sequence[Cover],
    limits: Mapping[str, float],
    halves: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """Return the rates on covers, and on payloads in places that V4 does not read, at given thresholds.

    For each way to hide, `found` has the rate of each detector at its own of `limits`, `beyond` its rate on the images
    that V4 misses there, and `together` the rate of V4 or the detector, each at its own of `halves`.
    """
    ways = {way.name: way for way in (*WRITTEN, *PLACED, *CHANGED)}
    rows = {"nothing hidden": collect(_show(covers, None, seed), len(covers))}
    rows |= {name: collect(_show(covers, ways[name], seed), len(covers)) for name in _ELSEWHERE}
    return {row: _describe_elsewhere(detectors, examples, limits, halves) for row, examples in rows.items()}


def _describe_elsewhere(
    detectors: Mapping[str, Score], examples: Examples, limits: Mapping[str, float], halves: Mapping[str, float]
) -> dict[str, Any]:
    scores = {name: detector(examples) for name, detector in detectors.items()}
    hits = {name: values > limits[name] for name, values in scores.items()}
    half = {name: values > halves[name] for name, values in scores.items()}
    return {
        "found": {name: _count(each) for name, each in hits.items()},
        "beyond": {name: _count(each[~hits[V4]]) for name, each in hits.items() if name != V4},
        "together": {name: _count(half[V4] | each) for name, each in half.items() if name != V4},
    }


def measure_costs(
    detectors: Mapping[str, Score], examples: Examples, covers: Sequence[Cover]
) -> dict[str, dict[str, float]]:
    """Return the processor time per image in ms: to extract the detector's input, and to score it."""
    chosen = examples.pick(range(min(_COSTED, len(examples))))
    planes = _time(lambda: [extract_planes(cover.image, cover.data) for cover in covers]) / max(1, len(covers))
    pictures = _time(lambda: [take_picture(cover.image) for cover in covers]) / max(1, len(covers))
    taken = {"boosting": planes + pictures, "convolution": pictures}
    costs = {}
    for name, detector in detectors.items():
        scored = _time(lambda score=detector: score(chosen)) / len(chosen)  # type: ignore[misc]
        take = taken.get(name, planes)
        costs[name] = {"take": round(take, 3), "score": round(scored, 3), "ms": round(take + scored, 3)}
    return costs


def _by_group(hits: NDArray[np.bool_], examples: Examples) -> dict[str, Any]:
    return {
        METHODS[method]: {group: _count(hits[select(examples, method, number)]) for number, group in enumerate(GROUPS)}
        for method in range(len(METHODS))
    }


def _count(hits: NDArray[np.bool_]) -> dict[str, Any]:
    return make_rate(int(hits.sum()), len(hits))


def _show(covers: Sequence[Cover], way: PixelWay | None, seed: int) -> Iterator[tuple[Sample, Image.Image]]:
    rng = np.random.default_rng([seed, 8])
    for cover in covers:
        image = Image.fromarray(way.hide(rng, np.asarray(cover.image))) if way else cover.image
        yield Sample(cover.data, "untouched"), image


def _time(run: Callable[[], object]) -> float:
    """Return the lowest processor time of `_REPEATS` runs, in ms."""
    times = []
    for _ in range(_REPEATS):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return 1000.0 * min(times)
