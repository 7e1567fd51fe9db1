"""Figures by writer: payloads in pixels, appended files, harmless trailing bytes, and the worst misses."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from research.evaluation.rates import Trials, is_stego, rate
from research.evaluation.trials import Trial
from starlight_vocabulary.words import METHODS

NOISE: Final = (0.0, 0.1, 0.5, 0.9, 1.01)
"""Bounds of cover noise: the share of neighbouring samples that differ, ignoring the least significant bit."""
NOISE_NAMES: Final = ("flat", "drawn", "textured", "noise")
SIZES: Final = (3, 16, 64, 256, 1024, 65_537)
"""Bounds of payload sizes in bytes; a text of four bytes may lose a truncated character and have three."""
_PIXEL_METHODS: Final = ("alpha", "palette", "lsb.rgb")
_WORST: Final = 25


def by_writer(trials: Trials) -> dict[str, Any]:
    """Return the figures for each writer, kind of file and kind of harmless bytes."""
    groups = {group: [trial for trial in trials if trial.group == group] for group in ("wild", "tail", "unseen")}
    stego = {group: [trial for trial in chosen if trial.method is not None] for group, chosen in groups.items()}
    return {
        "pixels": {
            method: _rows([trial for trial in stego["wild"] if trial.method == method]) for method in _PIXEL_METHODS
        },
        "lengths": _lengths([trial for trial in stego["wild"] if trial.method == "lsb.rgb"]),
        "tails": _rows(stego["tail"]),
        "unseen": _rows(stego["unseen"]),
        "canaries": {
            method: _row([trial for trial in trials if trial.group == "canary" and trial.method == method])
            for method in METHODS
        },
        "harmless": {
            kind: rate([trial for trial in trials if trial.group == "harmless" and trial.writer == kind], is_stego)
            for kind in sorted({trial.writer for trial in trials if trial.group == "harmless"})
        },
    }


def by_size_and_noise(trials: Trials) -> dict[str, Any]:
    """Return detection rates by payload size and cover noise, for each method, of text and of other payloads.

    Methods that do not hide in samples have the single noise level `any`. Text includes that of all writers.
    """
    stego = [trial for trial in trials if trial.method is not None]
    return {
        name: {
            method: _grid([trial for trial in stego if trial.method == method and trial.binary == binary], method)
            for method in METHODS
        }
        for name, binary in (("text", False), ("files and ciphertext", True))
    }


def worst_misses(trials: Trials) -> list[dict[str, Any]]:
    """List the texts and files of 16 bytes or more with the lowest probability.

    Ciphertext in pixels, unseen writers and canaries are left out.
    """
    countable = [
        trial
        for trial in trials
        if trial.method is not None
        and trial.group not in ("unseen", "canary")
        and trial.payload_size >= 16
        and not trial.score.is_stego
        and not (trial.binary and trial.method in _PIXEL_METHODS)
    ]
    return [
        {
            "source": trial.source,
            "image": trial.name,
            "method": trial.method,
            "writer": trial.writer,
            "bytes": trial.payload_size,
            "noise": round(trial.noise, 2),
            "probability": round(trial.score.stego_probability, 4),
        }
        for trial in sorted(countable, key=lambda trial: trial.score.stego_probability)[:_WORST]
    ]


def _rows(trials: Trials) -> dict[str, Any]:
    names = sorted({trial.writer for trial in trials})
    return {name: _row([trial for trial in trials if trial.writer == name]) for name in names}


def _row(trials: Trials) -> dict[str, Any]:
    found = [trial for trial in trials if trial.score.is_stego]
    texts = [trial for trial in trials if not trial.binary]
    row = {
        "found": rate(trials, is_stego),
        "right_method": rate(found, lambda trial: trial.score.method == trial.method),
        "right_bit_order": rate(found, lambda trial: trial.bit_order in (None, trial.score.bit_order)),
    }
    if texts:
        row["shown_whole"] = rate(texts, lambda trial: trial.shown)
    return row


def _lengths(trials: Trials) -> dict[str, Any]:
    lengths = [trial for trial in trials if trial.writer.startswith("length of ")]
    marks = ("2 bytes", "4 bytes", "8 bytes", "big-endian", "little-endian", "in bytes", "in bits")
    return {mark: _row([trial for trial in lengths if mark in trial.writer]) for mark in marks}


def _grid(trials: Sequence[Trial], method: str) -> dict[str, dict[str, Any]]:
    bands = list(zip(NOISE_NAMES, pairwise(NOISE), strict=True)) if method in _PIXEL_METHODS else [("any", (0.0, 2.0))]
    return {
        band: {
            f"{low}-{high - 1}" if high < SIZES[-1] else f"{low} and more": rate(
                [trial for trial in trials if low <= trial.payload_size < high and quiet <= trial.noise < noisy],
                is_stego,
            )
            for low, high in pairwise(SIZES)
        }
        for band, (quiet, noisy) in bands
    }
