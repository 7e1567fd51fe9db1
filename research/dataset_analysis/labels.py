"""Looks for wrong labels among images that are published as clean, without asking V4.

Two signs: something can be read where one of the five methods hides, or a quick detector that has not learnt from the
image finds it more suspicious than almost all others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from research.alternative_architectures.boosting import find_odds, grow
from research.dataset_analysis.pools import KINDS, UNTOUCHED, Pool
from starlight_vocabulary.payload import Payload, PayloadKind
from worker.v4.extraction import read_payload

ORDERS: Final = {
    "alpha": ("lsb-first", "msb-first"),
    "palette": ("lsb-first", "msb-first"),
    "lsb.rgb": ("lsb-first", "msb-first"),
    "exif": ("none",),
    "raw": ("none",),
}
_UNKNOWN: Final = (PayloadKind.EMPTY, PayloadKind.CIPHERTEXT, PayloadKind.DATA)
_LONG: Final = 16
"""Fewest characters of a text in pixels that no chance explains, where a zero or a mark closes it."""
_LONG_OPEN: Final = 24
_ALPHABET: Final = 6
"""Fewest different characters of such a text."""
_MOST: Final = 10
"""Most images that are listed."""


def list_readable(image: Image.Image, data: bytes) -> tuple[str, ...]:
    """Return what can be read where each method hides, such as `raw: text`; empty if there is nothing."""
    found: dict[str, None] = {}
    for method, orders in ORDERS.items():
        for order in orders:
            payload = read_payload(image, data, method, order, limit=256).payload
            if _is_sure(payload, in_pixels=method in ("alpha", "palette", "lsb.rgb")):
                found[f"{method}: {payload.kind}"] = None
    return tuple(found)


def count_readable(rows: Iterable[tuple[str, bool, Sequence[str]]]) -> dict[str, dict[str, Any]]:
    """Count the images in which something can be read, by what it is, and how many of these V4 flags.

    Each row has the part, whether V4 flags the image, and what can be read.
    """
    images: dict[str, Counter[str]] = {}
    for part, flagged, readable in rows:
        for what in readable:
            counts = images.setdefault(what, Counter())
            counts[part] += 1
            counts["flagged"] += flagged
    return {what: dict(images[what]) for what in sorted(images)}


def find_outliers(pool: Pool, seed: int, trees: int) -> list[tuple[Path, float]]:
    """Return the published images that a detector trained on the other half of the pool finds most suspicious.

    Each has its probability of being stego by that detector; the most suspicious comes first.
    """
    rng = np.random.default_rng([seed, 9])
    halves = np.array_split(rng.permutation(len(pool.source)), 2)
    published = pool.kind == KINDS.index(UNTOUCHED)
    odds = np.full(len(pool.source), -np.inf)
    for learnt, shown in (halves, halves[::-1]):
        rows, asked = pool.find_rows(learnt), pool.find_rows(shown)
        asked = asked[published[asked]]
        model = grow(pool.features[rows], pool.is_stego[rows], seed, trees)
        odds[pool.cover[asked]] = find_odds(model, pool.features[asked])
    return [
        (pool.paths[cover], round(1.0 / (1.0 + float(np.exp(-odds[cover]))), 4)) for cover in np.argsort(-odds)[:_MOST]
    ]


def _is_sure(payload: Payload, *, in_pixels: bool) -> bool:
    if payload.kind in _UNKNOWN:
        return False
    if payload.text is None or not in_pixels:
        return payload.text is None or bool(payload.text.strip())
    least = _LONG if payload.closed_by else _LONG_OPEN
    return len(payload.text) >= least and len(set(payload.text)) >= _ALPHABET
