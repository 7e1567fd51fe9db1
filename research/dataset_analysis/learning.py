"""What more covers bring, and what a source costs that was never seen: learnt anew by a quick detector.

The detector is the one of trees on statistics (`alternative_architectures.boosting`), which learns in seconds. Its
figures are not V4's; how they move with the covers is what they are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from research.alternative_architectures.boosting import describe_streams, find_odds, grow
from research.evaluation.rates import find_limit, make_rate
from research.stego.corpus import Corpus
from research.stego.samples import SampleSource
from research.training.shards import CLEAN, make_shard

SHARES: Final = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""Shares of the covers that are learnt from."""
ALLOWED: Final = 0.01
_LIMIT: Final = 3.5
"""Log-odds from which on the quick detector says stego: a probability of 0.97, as V4's threshold is."""


@dataclass(frozen=True, slots=True)
class Described:
    """Examples as features (N, F), and whether something is hidden, (N,)."""

    features: NDArray[np.float32]
    is_stego: NDArray[np.bool_]


def draw_curve(
    train: Corpus, test: Corpus, seed: int, count: int, trees: int, shares: Sequence[float]
) -> list[dict[str, Any]]:
    """Return, for growing shares of the covers and always `count` examples, false positives and detection elsewhere."""
    shown = _describe(test, seed + 1, count)
    points = []
    for share in shares:
        rng = np.random.default_rng([seed, 5])
        part = Corpus({name: _take(rng, paths, share) for name, paths in train.sources.items()})
        learnt = _describe(part, seed, count)
        odds = find_odds(grow(learnt.features, learnt.is_stego, seed, trees), shown.features)
        points.append({"share": round(share, 4), "covers": len(part.paths), **_measure(odds, shown)})
    return points


def leave_sources_out(corpus: Corpus, seed: int, each: int, trees: int, most: int) -> dict[str, Any]:
    """Return for each of the `most` largest sources its figures by detectors that learnt from half or none of it.

    Each source gives `each` examples to learn from and as many of its other images to measure on; thresholds are those
    of `ALLOWED` false positives on the sources that were learnt from.
    """
    largest = sorted(corpus.sources, key=lambda name: -len(corpus.sources[name]))[:most]
    learnt, shown = {}, {}
    for number, name in enumerate(largest):
        paths = corpus.sources[name]
        learnt[name] = _describe(Corpus({name: paths[0::2]}), seed + number, each)
        shown[name] = _describe(Corpus({name: paths[1::2] or paths}), seed + 100 + number, each)
    rows = {}
    whole = _grow(list(learnt.values()), seed, trees)
    for name in largest:
        others = [other for other in largest if other != name]
        without = _grow([learnt[other] for other in others], seed, trees)
        rows[name] = {
            label: _measure(
                find_odds(model, shown[name].features),
                shown[name],
                np.concatenate([find_odds(model, shown[other].features)[~shown[other].is_stego] for other in others]),
            )
            for label, model in (("learnt from", whole), ("left out", without))
        }
    return rows


def _describe(corpus: Corpus, seed: int, count: int) -> Described:
    """Draw examples of the corpus' covers alone, but for hard negatives, and describe them."""
    shard = make_shard(SampleSource(corpus, drawn_share=0.0), seed, 0, count)
    return Described(describe_streams(np.array(shard.planes)), shard.method != CLEAN)


def _grow(parts: Sequence[Described], seed: int, trees: int) -> HistGradientBoostingClassifier:
    features = np.concatenate([part.features for part in parts])
    return grow(features, np.concatenate([part.is_stego for part in parts]), seed, trees)


def _measure(
    odds: NDArray[np.float64], shown: Described, reference: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the figures at `_LIMIT`, and at the threshold for `ALLOWED` false positives on a reference."""
    clean, stego = odds[~shown.is_stego], odds[shown.is_stego]
    limit = find_limit(clean if reference is None else reference, ALLOWED)
    return {
        "false_positives": make_rate(int((clean >= _LIMIT).sum()), len(clean)),
        "found": make_rate(int((stego >= _LIMIT).sum()), len(stego)),
        "false_positives_at_allowed": make_rate(int((clean > limit).sum()), len(clean)),
        "found_at_allowed": make_rate(int((stego > limit).sum()), len(stego)),
    }


def _take(rng: np.random.Generator, paths: Sequence[Any], share: float) -> tuple[Any, ...]:
    """Draw a share of a source's images, one at least; what a smaller share has is in a larger one too."""
    order = rng.permutation(len(paths))
    return tuple(paths[number] for number in order[: max(1, round(share * len(paths)))])
