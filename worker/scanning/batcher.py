"""Joins the images that all chunks of this process have ready into batches for its device."""

import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

import torch

from storage.background import BackgroundThread
from worker.v4.detector import Score
from worker.v4.planes import Planes

log = logging.getLogger(__name__)


class Scorer(Protocol):
    """What the batcher needs of a detector."""

    def score(self, batch: Sequence[Planes], thresholds: Sequence[float | None] | None = None) -> list[Score]:
        """Return one score for each image, in order; a threshold of None means the model's own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An image that waits for its score, to be judged by its job's threshold or the model's own."""

    planes: Planes
    threshold: float | None
    score: Future[Score]


class Batcher(BackgroundThread):
    """One thread that scores what is waiting: full batches under load, a lone image after `wait_s` seconds.

    Who submits while two batches or more wait is kept waiting, and with it decoding.
    """

    def __init__(self, scorer: Scorer, batch_size: int, wait_s: float) -> None:
        super().__init__("batcher")
        self._scorer = scorer
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._waiting: deque[Waiting] = deque()
        self._changed = Condition()

    def submit(self, images: Sequence[Planes], threshold: float | None = None) -> list[Future[Score]]:
        """Return a future for each image's score; it raises what V4 raised on this image alone."""
        submitted = [Waiting(planes, threshold, Future()) for planes in images]
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < 2 * self._batch_size)
            self._waiting.extend(submitted)
            self._changed.notify_all()
        return [image.score for image in submitted]

    def wake(self) -> None:
        """Have the thread score what is waiting, and end."""
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Score until the batcher is stopped and nothing waits any more."""
        while batch := self._next_batch():
            self._score(batch)

    def _next_batch(self) -> list[Waiting]:
        """Return what is to be scored next; nothing once all is scored and the batcher stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.stopping.is_set())
            self._changed.wait_for(
                lambda: len(self._waiting) >= self._batch_size or self.stopping.is_set(), self._wait_s
            )
            batch = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
            self._changed.notify_all()
        return batch

    def _score(self, batch: list[Waiting]) -> None:
        try:
            scores = self._scorer.score([image.planes for image in batch], [image.threshold for image in batch])
            answered = list(zip(batch, scores, strict=True))
        except torch.AcceleratorError:
            # After such an error the device answers nothing in this process any more. Its chunks' leases run out, and
            # whoever watches the process starts it again.
            log.critical("the device failed; this process ends", exc_info=True)
            os._exit(os.EX_SOFTWARE)
        except Exception as error:
            if len(batch) == 1:
                batch[0].score.set_exception(error)
                return
            for image in batch:
                self._score([image])
            return
        for image, score in answered:
            image.score.set_result(score)
