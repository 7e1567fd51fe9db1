"""Detectors that tests control."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from starlight_vocabulary.words import BitOrder, Method
from tests.kit.threads import PATIENCE_S
from worker.v4.card import ModelCard
from worker.v4.detector import Detector, Score
from worker.v4.network import Heads
from worker.v4.planes import NUMBERS, PlaneArray
from worker.v4.streams import Streams

CARD = ModelCard("v4", "test", "model.safetensors", "0" * 64, 0.5)
CLEAN = Score(False, 0.25, 0.75, None, None)
STEGO = Score(True, 0.75, 0.75, Method.RAW, BitOrder.NONE)


def compute_nothing(_: Streams) -> Heads:
    """Take the place of a network that must not be used."""
    raise AssertionError("these detectors have no network")


class HeldDetector(Detector):
    """Calls everything clean, once `may_score` is set."""

    def __init__(self) -> None:
        super().__init__(compute_nothing, CARD)
        self.asked = threading.Event()
        self.may_score = threading.Event()
        self.may_score.set()

    def score(
        self, batch: Sequence[np.void] | PlaneArray, thresholds: Sequence[float | None] | None = None
    ) -> list[Score]:
        """Return a clean score for each image, once `may_score` is set."""
        self.asked.set()
        assert self.may_score.wait(PATIENCE_S)
        return [CLEAN for _ in batch]


def list_widths(batch: PlaneArray) -> list[int]:
    """Return the widths of the images in a batch."""
    widths: list[int] = batch["numbers"][:, NUMBERS.index("width")].tolist()
    return widths


@dataclass
class Widths:
    """Scores an image by its width; widths without an entry in `scores` are clean."""

    scores: dict[int, Score | Exception] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    sizes: list[int] = field(default_factory=list)

    def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
        """Return the scores, or raise the first that is an exception."""
        self.before()
        self.sizes.append(len(batch))
        scores = [self.scores.get(width, CLEAN) for width in list_widths(batch)]
        for score in scores:
            if isinstance(score, Exception):
                raise score
        return [score for score in scores if isinstance(score, Score)]
