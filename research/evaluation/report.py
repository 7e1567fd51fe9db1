"""The validation report: figures of a run of trials, as plain data for JSON."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from research.evaluation.intervals import calibration, clopper_pearson
from research.evaluation.trials import Trial
from starlight_vocabulary.words import METHODS
from worker.v4.card import ModelCard

TARGET_RATE: Final = 0.0007
"""False positives that a threshold is chosen for, as a share of clean images."""
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
    return {
        "model": {
            "name": card.name,
            "version": card.version,
            "sha256": card.sha256,
            "threshold": card.threshold,
        },
        "corpus": {"images": corpus_images, "sources": len({trial.source for trial in trials}), "seed": seed},
        "false_positives": {
            "all": _rate(clean, _is_stego),
            "untouched": _rate([trial for trial in clean if trial.group == "untouched"], _is_stego),
            "twins": _rate([trial for trial in clean if trial.group == "twin"], _is_stego),
            "drawn": _rate([trial for trial in clean if trial.source == "drawn"], _is_stego),
            "untouched_by_source": _by(clean, "untouched", lambda trial: trial.source),
            "drawn_by_kind": {
                kind: _rate([trial for trial in clean if trial.group == kind], _is_stego)
                for kind in sorted({trial.group for trial in clean if trial.source == "drawn"})
            },
            "by_trait": {
                trait: _rate([trial for trial in clean if trait in trial.traits], _is_stego)
                for trait in sorted({trait for trial in clean for trait in trial.traits})
            },
        },
        "detection": {
            "text": _rate(texts, _is_stego),
            "by_method": {method: _method([t for t in stego if t.method == method]) for method in METHODS},
        },
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
            if _is_stego(trial)
        ],
    }


def choose_threshold(trials: Sequence[Trial], rate: float = TARGET_RATE) -> float:
    """Return the smallest threshold, 0.5 at least, that keeps false positives at `rate` of the clean images."""
    clean = np.sort([trial.score.stego_probability for trial in trials if trial.method is None])[::-1]
    allowed = int(rate * len(clean))
    if allowed >= len(clean) or clean[allowed] < 0.5:
        return 0.5
    # Half way in log-odds to certainty would be arbitrary: just above the last image that must stay clean.
    return float(min(0.9999, np.ceil((clean[allowed] + 1e-6) * 1e4) / 1e4))


def _is_stego(trial: Trial) -> bool:
    return trial.score.is_stego


def _rate(trials: Sequence[Trial], counts: Callable[[Trial], bool]) -> dict[str, Any]:
    hits = sum(counts(trial) for trial in trials)
    low, high = clopper_pearson(hits, len(trials))
    share = hits / len(trials) if trials else 0.0
    return {
        "count": hits,
        "of": len(trials),
        "share": round(share, 6),
        "interval95": [round(low, 6), round(high, 6)],
    }


def _by(trials: Sequence[Trial], group: str, key: Callable[[Trial], str]) -> dict[str, Any]:
    chosen = [trial for trial in trials if trial.group == group]
    names = sorted({key(trial) for trial in chosen})
    return {name: _rate([trial for trial in chosen if key(trial) == name], _is_stego) for name in names}


def _method(trials: Sequence[Trial]) -> dict[str, Any]:
    texts = [trial for trial in trials if trial.group == "text"]
    found = [trial for trial in texts if trial.score.is_stego]
    return {
        "text": _rate(texts, _is_stego),
        "right_method": _rate(found, lambda trial: trial.score.method == trial.method),
        "right_bit_order": _rate(found, lambda trial: trial.score.bit_order == trial.bit_order),
        "extracted_whole": _rate(found, lambda trial: trial.extracted),
        "text_by_size": _sizes(texts),
        "short_by_size": {
            str(size): _rate([t for t in trials if t.group == "short" and t.payload_size == size], _is_stego)
            for size in range(4, 16)
        },
        "binary": _rate([trial for trial in trials if trial.group == "binary"], _is_stego),
        "binary_by_size": _sizes([trial for trial in trials if trial.group == "binary"]),
    }


def _sizes(trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        f"{low}-{high - 1}": _rate([trial for trial in trials if low <= trial.payload_size < high], _is_stego)
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
