"""Compares V4 with published estimators on ciphertext in pixels: a payload that contains no text."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.evaluation.steganalysis import regular_singular, sample_pairs, weighted_stego
from research.stego.corpus import Corpus, open_image
from research.stego.covers import adapt, upper_left
from research.stego.payloads import draw_binary
from worker.v4.detector import Detector
from worker.v4.embedding import capacity, embed_lsb, embed_palette
from worker.v4.planes import extract_planes

ALLOWED: Final = 0.01
"""False-positive rate at which the detectors are compared: a few hundred covers are enough to measure it."""
SHARES: Final = (0.01, 0.05, 0.25, 1.0)
"""Payload sizes, as shares of the carrier's capacity."""
_SIDE: Final = 512
_SMALLEST: Final = 64
_ESTIMATORS: Final[dict[str, Callable[[NDArray[np.uint8]], float]]] = {
    "sample pairs": sample_pairs,
    "RS": regular_singular,
    "weighted stego": weighted_stego,
}


@dataclass(frozen=True, slots=True)
class _Scored:
    """One picture: its carrier, the share of it that is used (0 for a cover), and the score of each detector."""

    carrier: str
    share: float
    scores: dict[str, float]


def compare(detector: Detector, corpus: Corpus, seed: int, covers: int) -> dict[str, Any]:
    """Return the detection rate of each detector at `ALLOWED` false positives, for each carrier and payload size."""
    scored = defaultdict(list)
    for each in _score(detector, corpus, seed, covers):
        scored[each.carrier, each.share].append(each.scores)
    found: dict[str, dict[str, float]] = {}
    for carrier in ("lsb.rgb", "palette"):
        clean = scored[carrier, 0.0]
        limits = {name: float(np.quantile([s[name] for s in clean], 1 - ALLOWED)) for name in clean[0]}
        for share in SHARES:
            stego = scored[carrier, share]
            found[f"`{carrier}`, {share:.0%} full"] = {
                name: round(float(np.mean([scores[name] > limit for scores in stego])), 4)
                for name, limit in limits.items()
            }
    return {"covers": covers, "false_positives": ALLOWED, "found": found}


def _score(detector: Detector, corpus: Corpus, seed: int, covers: int) -> Iterator[_Scored]:
    pictures = _pictures(corpus, seed, covers)
    while group := list(islice(pictures, 64)):
        planes = [extract_planes(image, b"") for _, _, image in group]
        for (carrier, share, image), score in zip(group, detector.score(planes), strict=True):
            yield _Scored(carrier, share, {"V4": score.stego_probability, **_estimates(image)})


def _pictures(corpus: Corpus, seed: int, covers: int) -> Iterator[tuple[str, float, Image.Image]]:
    """Yield covers and stego images made from them: carrier, share of it that is used, picture."""
    for carrier in ("lsb.rgb", "palette"):
        rng = np.random.default_rng([seed, 3, len(carrier)])
        made = 0
        while made < covers:
            try:
                cover = adapt(rng, upper_left(open_image(corpus.draw(rng).read_bytes()), _SIDE), carrier)
            except (OSError, ValueError):
                continue
            if min(cover.size) < _SMALLEST:
                continue
            made += 1
            yield carrier, 0.0, cover
            for share in SHARES:
                payload = draw_binary(rng, max(1, int(share * capacity(cover, carrier))))
                embed = embed_lsb if carrier == "lsb.rgb" else embed_palette
                yield carrier, share, embed(cover, payload, "lsb-first")


def _estimates(image: Image.Image) -> dict[str, float]:
    samples = np.atleast_3d(np.asarray(image, np.uint8))[:, :, :3]
    channels = [np.ascontiguousarray(samples[:, :, number]) for number in range(samples.shape[2])]
    # NaN means that the estimator cannot judge the channel: treat it as a cover.
    return {
        name: float(np.nan_to_num(np.mean([estimate(channel) for channel in channels]), nan=0.0))
        for name, estimate in _ESTIMATORS.items()
    }
