"""Joins the decoded images of all running chunks of this process into batches for its device."""

import logging
import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition
from typing import Protocol

import numpy as np
import torch

from storage.background import BackgroundThread
from worker.scanning.metrics import Stage, WorkerMetrics
from worker.v4.detector import Score
from worker.v4.planes import PlaneArray

log = logging.getLogger(__name__)


class Scorer(Protocol):
    """What the batcher needs of a detector."""

    def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
        """Return one score for each image, in order; a threshold of None means the model's own."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that were submitted together, with the threshold of their job, or None for the model's own.

    The first `len(scores)` images have been scored: each has a score, or the exception that V4 raised on it alone.
    """

    planes: PlaneArray
    threshold: float | None
    scores: list[Score | Exception] = field(default_factory=list)
    scored: Future[list[Score | Exception]] = field(default_factory=Future)

    def add(self, scores: Iterable[Score | Exception]) -> None:
        """Add the scores of the next images."""
        self.scores.extend(scores)
        if len(self.scores) == len(self.planes):
            self.scored.set_result(self.scores)


class Batcher(BackgroundThread):
    """One thread that scores the waiting images: full batches under load, smaller ones after `wait_s` seconds.

    `submit` blocks while two batches or more wait, which slows decoding down.
    """

    def __init__(self, scorer: Scorer, batch_size: int, wait_s: float, metrics: WorkerMetrics | None = None) -> None:
        super().__init__("batcher")
        self._scorer = scorer
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._metrics = metrics or WorkerMetrics()
        # The groups that wait, each with its planes that are not scored yet.
        self._waiting: deque[tuple[Group, PlaneArray]] = deque()
        self._images = 0
        self._changed = Condition()

    def submit(
        self, planes: PlaneArray, threshold: float | None = None, *, at_once: bool = False
    ) -> Future[list[Score | Exception]]:
        """Return a future of the images' scores, in order; an image on which V4 fails has the exception instead.

        With `at_once`, the calling thread scores the images itself: they wait neither for others nor for the batch that
        is being scored.
        """
        group = Group(planes, threshold)
        if len(planes) == 0:
            group.add([])
            return group.scored
        if at_once:
            for start in range(0, len(planes), self._batch_size):
                group.add(self._score([planes[start : start + self._batch_size]], [threshold]))
            return group.scored
        with self._changed:
            self._changed.wait_for(lambda: self._images < 2 * self._batch_size)
            self._waiting.append((group, planes))
            self._images += len(planes)
            self._changed.notify_all()
        return group.scored

    def wake(self) -> None:
        """Make the thread score what is waiting, and end."""
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Score until the batcher is stopped and nothing waits."""
        while batch := self._next_batch():
            scores = iter(self._score([part for _, part in batch], [group.threshold for group, _ in batch]))
            for group, part in batch:
                group.add(islice(scores, len(part)))

    def _next_batch(self) -> list[tuple[Group, PlaneArray]]:
        """Return the next batch as parts of groups; an empty list once the batcher is stopped and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._images or self.stopping.is_set())
            self._changed.wait_for(lambda: self._images >= self._batch_size or self.stopping.is_set(), self._wait_s)
            batch = []
            free = self._batch_size
            while self._waiting and free:
                group, planes = self._waiting.popleft()
                batch.append((group, planes[:free]))
                if len(planes) > free:
                    self._waiting.appendleft((group, planes[free:]))
                free -= len(batch[-1][1])
            self._images -= self._batch_size - free
            self._changed.notify_all()
        return batch

    def _score(self, parts: Sequence[PlaneArray], thresholds: Sequence[float | None]) -> list[Score | Exception]:
        planes = parts[0] if len(parts) == 1 else np.concatenate(parts)
        limits = [threshold for part, threshold in zip(parts, thresholds, strict=True) for _ in part]
        self._metrics.count_batch(len(planes), self._batch_size)
        with self._metrics.time_stage(Stage.SCORE):
            return self._score_or_split(planes, limits)

    def _score_or_split(self, planes: PlaneArray, thresholds: Sequence[float | None]) -> list[Score | Exception]:
        try:
            scored = zip(planes, self._scorer.score(planes, thresholds), strict=True)
            return [score for _, score in scored]
        except torch.AcceleratorError:
            # After such an error the device is unusable in this process. The leases of its chunks run out, and its
            # supervisor restarts the process.
            log.critical("the device failed; this process ends", exc_info=True)
            os._exit(os.EX_SOFTWARE)
        except Exception as error:
            if len(planes) == 1:
                return [error]
            return [
                score
                for one in range(len(planes))
                for score in self._score_or_split(planes[one : one + 1], thresholds[one : one + 1])
            ]
