"""Measures the benefit of more covers, and the effect of an unseen source, by retraining a quick detector.

The detector is `alternative_architectures.boosting`, which trains in seconds. Its figures are not V4's; only their
change with the covers matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from research.alternative_architectures.boosting import describe_streams, find_odds, grow
from research.evaluation.rates import find_limit, make_rate
from research.stego.corpus import Corpus
from research.stego.samples import SampleSource
from research.training.shards import CLEAN, make_shard

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

SHARES: Final = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""Shares of the covers to train on."""
ALLOWED: Final = 0.01
_LIMIT: Final = 3.5
"""Threshold of the quick detector in log-odds: a probability of 0.97, like V4's threshold."""


@dataclass(frozen=True, slots=True)
class Described:
    """Examples as features (N, F), and whether each is stego, (N,)."""

    features: NDArray[np.float32]
    is_stego: NDArray[np.bool_]


def draw_curve(
    train: Corpus, test: Corpus, seed: int, count: int, trees: int, shares: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the figures on `test` of detectors trained on each share of the covers, with `count` examples each."""
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
    """Return the figures on each of the `most` largest sources of detectors trained with and without that source.

    Each source gives `each` examples for training, and as many from its other images for testing. Thresholds allow
    `ALLOWED` false positives on the other sources.
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
    """Make examples from the corpus' covers, without drawn hard negatives, and compute their features."""
    shard = make_shard(SampleSource(corpus, drawn_share=0.0), seed, 0, count)
    return Described(describe_streams(np.array(shard.planes)), shard.method != CLEAN)


def _grow(parts: Sequence[Described], seed: int, trees: int) -> "HistGradientBoostingClassifier":
    features = np.concatenate([part.features for part in parts])
    return grow(features, np.concatenate([part.is_stego for part in parts]), seed, trees)


def _measure(
    odds: NDArray[np.float64], shown: Described, reference: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the figures at `_LIMIT`, and at the threshold for `ALLOWED` false positives on a reference set."""
    clean, stego = odds[~shown.is_stego], odds[shown.is_stego]
    limit = find_limit(clean if reference is None else reference, ALLOWED)
    return {
        "false_positives": make_rate(int((clean >= _LIMIT).sum()), len(clean)),
        "found": make_rate(int((stego >= _LIMIT).sum()), len(stego)),
        "false_positives_at_allowed": make_rate(int((clean > limit).sum()), len(clean)),
        "found_at_allowed": make_rate(int((stego > limit).sum()), len(stego)),
    }


def _take(rng: np.random.Generator, paths: Sequence[Any], share: float) -> tuple[Any, ...]:
    """Draw a share of a source's images, at least one; larger shares include smaller ones."""
    order = rng.permutation(len(paths))
    return tuple(paths[number] for number in order[: max(1, round(share * len(paths)))])
