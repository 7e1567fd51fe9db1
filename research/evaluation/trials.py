"""The trials of a validation: the images that V4 scores, and the scores."""

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from producer.canaries.drawing import draw_canaries
from research.evaluation.traits import hard_traits, measure_noise
from research.evaluation.unseen import UNSEEN_FILES, UNSEEN_WRITERS, append_unseen, write_unseen
from research.stego.corpus import Corpus, open_image
from research.stego.covers import adapt, upper_left
from research.stego.negatives import draw_negative, make_harmless
from research.stego.pairs import (
    PIXEL_WRITERS,
    SPECIFICATION,
    make_pair,
    make_tail_pair,
    make_wild_pair,
    make_written_pair,
)
from research.stego.payloads import draw_binary, draw_text
from research.stego.planes import take_planes
from research.stego.samples import Sample, cut_off
from research.stego.tails import TAIL_WRITERS, draw_tail
from research.stego.trailers import HARMLESS_KINDS
from starlight_vocabulary.words import METHODS
from worker.v4.detector import Detector, Score
from worker.v4.embedding import capacity
from worker.v4.extraction import read_payload_bytes
from worker.v4.planes import extract_planes
from worker.v4.text_runs import decode_text
from worker.v4.unwrapping import unwrap

Rng = np.random.Generator

COVER_SIDE: Final = 1024
"""Side in pixels to which covers are cropped, so that encoding large photos does not take hours."""
GROUPS: Final = {"text": (16, 4096), "short": (4, 15), "binary": (16, 4096)}
"""Groups of payloads that follow the specification, and their sizes in bytes."""
WILD_SIDE: Final = 256
"""Side in pixels to which covers of other payloads are cropped."""
CANARIES: Final = "canaries"
"""The source of trials with canaries, which are from no corpus."""
CANARY_ROUNDS: Final = 150
"""Rounds of canaries: each has a stego image and its twin for every method."""
_WILD_OF_IMAGE: Final = {"alpha": 1, "palette": 1, "lsb.rgb": 4}
_TAILS_OF_IMAGE: Final = 3
_HARMLESS_OF_IMAGE: Final = 2
_LONGEST_TAIL: Final = 16_384
_MESSAGE_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True)
class Trial:
    """One image that V4 scored: its origin, its truth and the score.

    `group` is the payload group of a stego image or the kind of a clean image. Payloads that do not follow the
    specification are `wild` in pixels and `tail` after the end, or `unseen` if no training data has their writer.
    Those of canaries are `canary`; their bit order is None.
    `traits` are the hard traits of a clean image. `extracted` is whether the payload could be read back completely with
    the predicted method and bit order, `shown` whether the message shown is the complete text. `noise` is the share of
    neighbouring samples of the carrier that differ. `writer` names how the payload was written; `binary` means that it
    is not text.
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
    writer: str = ""
    shown: bool = False
    noise: float = 0.0
    binary: bool = False


def run_trials(detector: Detector, corpus: Corpus, seed: int, limit: int | None, drawn: int) -> Iterator[Trial]:
    """Score the images of the corpus (or `limit` of them), stego images and twins made from each, and drawn ones.

    All are scored at threshold 0, so that each score names a method; `decide` applies the real threshold.
    """
    return (trials[0] for trials in run_together([detector], corpus, seed, limit, drawn))


def run_together(
    detectors: Sequence[Detector], corpus: Corpus, seed: int, limit: int | None, drawn: int
) -> Iterator[tuple[Trial, ...]]:
    """Like `run_trials`, with several detectors that score the same images."""
    warnings.simplefilter("ignore")
    cases = make_cases(corpus, seed, limit, drawn)
    while group := list(islice(cases, 64)):
        planes = [case.planes for case in group]
        scores = [detector.score(planes, [0.0] * len(group)) for detector in detectors]
        for case, of_case in zip(group, zip(*scores, strict=True), strict=True):
            yield tuple(_trial(case, score) for score in of_case)


def _trial(case: "Case", score: Score) -> Trial:
    sample = case.sample
    return Trial(
        case.group,
        case.source,
        case.name,
        sample.method,
        sample.bit_order,
        len(sample.payload),
        case.traits,
        score,
        extracted=bool(sample.payload) and _extracts(sample, score),
        writer=sample.writer,
        shown=bool(sample.payload) and not sample.binary and _shows(sample, score),
        noise=measure_noise(case.planes, sample.method) if sample.method else 0.0,
        binary=sample.binary,
    )


def decide(trial: Trial, threshold: float) -> Trial:
    """Return the trial as decided at a threshold."""
    if trial.score.stego_probability >= threshold:
        return trial
    score = dataclasses.replace(trial.score, is_stego=False, method=None, bit_order=None)
    return dataclasses.replace(trial, score=score, extracted=False, shown=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One image to score; the fields are those of `Trial`."""

    group: str
    source: str
    name: str
    sample: Sample
    traits: tuple[str, ...]
    planes: np.void


def make_cases(corpus: Corpus, seed: int, limit: int | None, drawn: int) -> Iterator[Case]:
    """Make the images of a validation; the same seed gives the same images."""
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
        yield from _cut(rng, sample, "drawn", sample.kind)
    yield from _canary_cases(seed)


def _canary_cases(seed: int) -> Iterator[Case]:
    """Make canaries, whose covers and sentences no training data has; their bit order is not known."""
    for number in range(CANARY_ROUNDS):
        for canary in draw_canaries(CANARY_ROUNDS * seed + number):
            payload = (canary.message or "").encode()
            sample = Sample(canary.data, canary.hidden or "twin", canary.hidden, None, payload, writer=SPECIFICATION)
            yield from _opened([sample], "canary", CANARIES, canary.name)


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
        size = _draw_size(rng, smallest, largest)
        payload = draw_binary(rng, size) if group == "binary" else draw_text(rng, size)
        yield from _opened(make_pair(rng, cover, method, payload, group == "binary"), group, source, path.name)
    yield from _wild_of_image(rng, source, path.name, upper_left(original, WILD_SIDE))
    yield from _cut(rng, Sample(data, "untouched"), source, path.name)


def _wild_of_image(rng: Rng, source: str, name: str, picture: Image.Image) -> Iterator[Case]:
    """Make payloads that do not follow the specification, and harmless bytes after the end."""
    for method, count in _WILD_OF_IMAGE.items():
        for _ in range(count):
            cover = adapt(rng, picture, method)
            writer = PIXEL_WRITERS[rng.integers(len(PIXEL_WRITERS))]
            yield from _opened(make_wild_pair(rng, cover, method, writer, smallest=16), "wild", source, name)
    writer = tuple(UNSEEN_WRITERS)[rng.integers(len(UNSEEN_WRITERS))]
    cover = adapt(rng, picture, "lsb.rgb")
    largest = min(2048, capacity(cover, "lsb.rgb") - 48)
    if largest >= 16:
        writing = write_unseen(rng, writer, _draw_size(rng, 16, largest))
        yield from _opened(make_written_pair(rng, cover, "lsb.rgb", writing, writer), "unseen", source, name)
    for _ in range(_TAILS_OF_IMAGE):
        tail = draw_tail(rng, TAIL_WRITERS[rng.integers(len(TAIL_WRITERS))], _draw_size(rng, 16, _LONGEST_TAIL))
        yield from _opened(make_tail_pair(rng, adapt(rng, picture, "raw"), tail), "tail", source, name)
    tail = append_unseen(rng, tuple(UNSEEN_FILES)[rng.integers(len(UNSEEN_FILES))], _draw_size(rng, 64, _LONGEST_TAIL))
    yield from _opened(make_tail_pair(rng, adapt(rng, picture, "raw"), tail), "unseen", source, name)
    for _ in range(_HARMLESS_OF_IMAGE):
        kind = tuple(HARMLESS_KINDS)[rng.integers(len(HARMLESS_KINDS))]
        yield from _opened([make_harmless(rng, adapt(rng, picture, "raw"), kind)], "harmless", source, name)


def _draw_size(rng: Rng, smallest: int, largest: int) -> int:
    return int(np.exp(rng.uniform(np.log(smallest), np.log(largest + 1))))


def _cut(rng: Rng, sample: Sample, source: str, name: str) -> Iterator[Case]:
    """Make a truncated clean file, if part of its picture can be decoded."""
    cut = cut_off(rng, sample)
    try:
        planes = take_planes(cut.data, is_cut=True)
    except (OSError, ValueError):
        return
    yield Case("cut", source, name, cut, (), planes)


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
    read = read_payload_bytes(image, sample.data, score.method, score.bit_order, len(sample.payload))
    return is_whole(read, sample.payload)


def _shows(sample: Sample, score: Score) -> bool:
    if score.method is None or score.method != sample.method:
        return False
    image = open_image(sample.data)
    read = read_payload_bytes(image, sample.data, score.method, score.bit_order, _MESSAGE_LIMIT)
    return is_whole(read, sample.payload)


def is_whole(shown: bytes, payload: bytes) -> bool:
    """Return whether `shown` is the whole payload, raw or decoded (packed, Base64), ignoring blanks around it."""
    inside = unwrap(payload, _MESSAGE_LIMIT).body
    text = decode_text(inside)
    # The last character of truncated Base64 may be incomplete.
    wanted = (payload, inside, text.encode() if text else payload)
    return any(shown.strip() == each.strip() for each in wanted)
