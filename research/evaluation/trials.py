"""The trials of a validation: which images V4 is shown, and what it said."""

import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from research.evaluation.traits import hard_traits
from research.stego.corpus import Corpus, open_image
from research.stego.covers import adapt, upper_left
from research.stego.embed import capacity
from research.stego.payloads import draw_binary, draw_text
from research.stego.samples import Sample, draw_negative, make_pair
from starlight_vocabulary.words import METHODS
from worker.v4.detector import Detector, Score
from worker.v4.extraction import read_payload_bytes
from worker.v4.planes import extract_planes

Rng = np.random.Generator

COVER_SIDE: Final = 1024
"""Side in pixels to which covers are cut, so that encoding large photos does not take hours."""
GROUPS: Final = {"text": (16, 4096), "short": (4, 15), "binary": (16, 4096)}
"""Payload groups and their sizes in bytes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One image shown to V4: what it is, where it came from, and the score.

    `group` is a payload group for stego images and a kind of clean image else; `traits` are what makes a clean image a
    hard one; `extracted` says whether the payload could be read back whole by what V4 said.
    """

    group: str
    source: str
    name: str
    method: str | None
    bit_order: str | None
    payload_size: int
    traits: tuple[str, ...]
    score: Score
    extracted: bool


def run_trials(detector: Detector, corpus: Corpus, seed: int, limit: int | None, drawn: int) -> Iterator[Trial]:
    """Score every image of the corpus (or `limit` of them), stego images and twins made from each, and drawn ones.

    All are scored at threshold 0, so that each names a method; `decide` then applies a threshold.
    """
    warnings.simplefilter("ignore")
    cases = make_cases(corpus, seed, limit, drawn)
    while group := list(islice(cases, 64)):
        scores = detector.score([case.planes for case in group], [0.0] * len(group))
        for case, score in zip(group, scores, strict=True):
            sample = case.sample
            extracted = bool(sample.payload) and _extracts(sample, score)
            yield Trial(
                case.group,
                case.source,
                case.name,
                sample.method,
                sample.bit_order,
                len(sample.payload),
                case.traits,
                score,
                extracted,
            )


def decide(trial: Trial, threshold: float) -> Trial:
    """Return the trial with the outcome that a threshold gives it."""
    if trial.score.stego_probability >= threshold:
        return trial
    score = dataclasses.replace(trial.score, is_stego=False, method=None, bit_order=None)
    return dataclasses.replace(trial, score=score, extracted=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One image that V4 will be shown; the fields are those of `Trial`."""

    group: str
    source: str
    name: str
    sample: Sample
    traits: tuple[str, ...]
    planes: np.void


def make_cases(corpus: Corpus, seed: int, limit: int | None, drawn: int) -> Iterator[Case]:
    """Make the images of a validation: the same ones for the same seed."""
    chosen = [(source, path) for source, paths in corpus.sources.items() for path in paths]
    if limit is not None and limit < len(chosen):
        order = np.random.default_rng([seed, 0]).permutation(len(chosen))[:limit]
        chosen = [chosen[index] for index in sorted(order)]
    for number, (source, path) in enumerate(chosen):
        yield from _of_image(np.random.default_rng([seed, 1, number]), source, path)
    rng = np.random.default_rng([seed, 2])
    for _ in range(drawn):
        sample = draw_negative(rng)
        yield from _opened([sample], sample.kind, "drawn", sample.kind)


def _of_image(rng: Rng, source: str, path: Path) -> Iterator[Case]:
    data = path.read_bytes()
    try:
        original = open_image(data)
    except (OSError, ValueError):
        return
    yield _case("untouched", source, path.name, Sample(data, "untouched"), original)
    piece = upper_left(original, COVER_SIDE)
    plans = [(method, "text") for method in METHODS]
    plans += [(METHODS[rng.integers(len(METHODS))], group) for group in ("short", "binary")]
    for method, group in plans:
        cover = adapt(rng, piece, method)
        smallest, largest = GROUPS[group]
        if method not in ("exif", "raw"):
            largest = min(largest, capacity(cover, method))
        if largest < smallest:
            continue
        size = int(np.exp(rng.uniform(np.log(smallest), np.log(largest + 1))))
        payload = draw_binary(rng, size) if group == "binary" else draw_text(rng, size)
        yield from _opened(make_pair(rng, cover, method, payload, group == "binary"), group, source, path.name)


def _opened(samples: Iterable[Sample], group: str, source: str, name: str) -> Iterator[Case]:
    for sample in samples:
        yield _case("twin" if sample.kind == "twin" else group, source, name, sample, open_image(sample.data))


def _case(group: str, source: str, name: str, sample: Sample, image: Image.Image) -> Case:
    traits = hard_traits(image, sample.data) if sample.method is None else ()
    return Case(group, source, name, sample, traits, extract_planes(image, sample.data))


def _extracts(sample: Sample, score: Score) -> bool:
    if score.method is None:
        return False
    image = open_image(sample.data)
    return read_payload_bytes(image, sample.data, score.method, score.bit_order, len(sample.payload)) == sample.payload
