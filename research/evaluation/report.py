"""Builds the validation report: the figures of a run of trials, as plain data for JSON."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from research.evaluation.intervals import calibration, clopper_pearson
from research.evaluation.rates import is_stego, rate
from research.evaluation.trials import CANARIES, Trial
from research.evaluation.writers import by_size_and_noise, by_writer, worst_misses
from starlight_vocabulary.words import METHODS
from worker.v4.card import ModelCard

TARGET_RATE: Final = 0.0005
"""False-positive rate that the threshold is chosen for."""
TARGET_END: Final = 0.0007
"""Maximum upper end of that rate's confidence interval."""
_SIZES: Final = (4, 16, 64, 256, 1024, 4097)
_THRESHOLDS: Final = tuple(round(float(1 / (1 + np.exp(-logit))), 6) for logit in np.arange(-3.0, 9.01, 0.25))
_WORST: Final = 25


def build_report(card: ModelCard, trials: Sequence[Trial], corpus_images: int, seed: int) -> dict[str, Any]:
    """Return the report of a validation with the card's threshold."""
    clean = [trial for trial in trials if trial.method is None]
    stego = [trial for trial in trials if trial.method is not None]
    texts = [trial for trial in stego if trial.group == "text"]
    probability = np.array([trial.score.stego_probability for trial in trials])
    error, diagram = calibration(probability, np.array([trial.method is not None for trial in trials]))
    sources = {trial.source for trial in trials} - {CANARIES}
    return {
        "model": describe_model(card),
        "corpus": {"images": corpus_images, "sources": len(sources), "seed": seed},
        "false_positives": {
            "all": rate(clean, is_stego),
            "untouched": rate([trial for trial in clean if trial.group == "untouched"], is_stego),
            "twins": rate([trial for trial in clean if trial.group == "twin"], is_stego),
            "drawn": rate([trial for trial in clean if trial.source == "drawn" and trial.group != "cut"], is_stego),
            "cut": rate([trial for trial in clean if trial.group == "cut"], is_stego),
            "harmless": rate([trial for trial in clean if trial.group == "harmless"], is_stego),
            "untouched_by_source": _by(clean, "untouched", lambda trial: trial.source),
            "drawn_by_kind": {
                kind: rate([trial for trial in clean if trial.group == kind], is_stego)
                for kind in sorted({trial.group for trial in clean if trial.source == "drawn"} - {"cut"})
            },
            "by_trait": {
                trait: rate([trial for trial in clean if trait in trial.traits], is_stego)
                for trait in sorted({trait for trial in clean for trait in trial.traits})
            },
        },
        "detection": {
            "text": rate(texts, is_stego),
            "by_method": {method: _method([t for t in stego if t.method == method]) for method in METHODS},
        },
        "writers": by_writer(trials),
        "by_size_and_noise": by_size_and_noise(trials),
        "worst_misses": worst_misses(trials),
        "curve": [_at(trials, threshold) for threshold in sorted({*_THRESHOLDS, card.threshold})],
        "calibration": {"expected_error": round(error, 5), "bins": diagram},
        "worst_false_positives": [
            {
                "source": trial.source,
                "image": trial.name,
                "kind": trial.group,
                "method": trial.score.method,
                "probability": round(trial.score.stego_probability, 4),
            }
            for trial in sorted(clean, key=lambda trial: -trial.score.stego_probability)[:_WORST]
            if is_stego(trial)
        ],
    }


def describe_model(card: ModelCard) -> dict[str, Any]:
    """Return the model's part of a report."""
    return {"name": card.name, "version": card.version, "sha256": card.sha256, "threshold": card.threshold}


def choose_threshold(trials: Sequence[Trial], share: float = TARGET_RATE, end: float = TARGET_END) -> float:
    """Return the smallest threshold of at least 0.5 whose false-positive rate is at most `share`.

    With few clean images, fewer false positives are allowed: the rate's interval must not exceed `end`, or there must
    be none.
    """
    clean = np.sort([trial.score.stego_probability for trial in trials if trial.method is None])[::-1]
    allowed = int(share * len(clean))
    while allowed > 0 and clopper_pearson(allowed, len(clean))[1] > end:
        allowed -= 1
    if allowed >= len(clean) or clean[allowed] < 0.5:
        return 0.5
    # Just above the highest probability that must stay clean: any larger margin would be arbitrary.
    return float(min(0.99999, np.ceil((clean[allowed] + 1e-7) * 1e5) / 1e5))


def _by(trials: Sequence[Trial], group: str, key: Callable[[Trial], str]) -> dict[str, Any]:
    chosen = [trial for trial in trials if trial.group == group]
    names = sorted({key(trial) for trial in chosen})
    return {name: rate([trial for trial in chosen if key(trial) == name], is_stego) for name in names}


def _method(trials: Sequence[Trial]) -> dict[str, Any]:
    texts = [trial for trial in trials if trial.group == "text"]
    found = [trial for trial in texts if trial.score.is_stego]
    return {
        "text": rate(texts, is_stego),
        "right_method": rate(found, lambda trial: trial.score.method == trial.method),
        "right_bit_order": rate(found, lambda trial: trial.score.bit_order == trial.bit_order),
        "extracted_whole": rate(found, lambda trial: trial.extracted),
        "text_by_size": _sizes(texts),
        "short_by_size": {
            str(size): rate([t for t in trials if t.group == "short" and t.payload_size == size], is_stego)
            for size in range(4, 16)
        },
        "binary": rate([trial for trial in trials if trial.group == "binary"], is_stego),
        "binary_by_size": _sizes([trial for trial in trials if trial.group == "binary"]),
    }


def _sizes(trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        f"{low}-{high - 1}": rate([trial for trial in trials if low <= trial.payload_size < high], is_stego)
        for low, high in pairwise(_SIZES[1:])
    }


def _at(trials: Sequence[Trial], threshold: float) -> dict[str, Any]:
    def share(chosen: list[Trial]) -> float:
        hits = sum(trial.score.stego_probability >= threshold for trial in chosen)
        return round(hits / max(1, len(chosen)), 6)

    return {
        "threshold": threshold,
        "false_positives": share([trial for trial in trials if trial.method is None]),
        "untouched": share([trial for trial in trials if trial.group == "untouched"]),
        "detection": share([trial for trial in trials if trial.group == "text" and trial.method]),
        "detection_by_method": {
            method: share([trial for trial in trials if trial.group == "text" and trial.method == method])
            for method in METHODS
        },
    }
