"""Joins the images that all chunks of this process have ready into batches for its device."""

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import torch

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


class Batcher:
    """One thread that scores what is waiting: full batches under load, a lone image after `wait_s` seconds.

    At most two batches wait; then `submit` blocks, and with it decoding.
    """

    def __init__(self, scorer: Scorer, batch_size: int, wait_s: float) -> None:
        self._scorer = scorer
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._waiting: queue.Queue[Waiting | None] = queue.Queue(2 * batch_size)
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, planes: Planes, threshold: float | None = None) -> Future[Score]:
        """Return a future for the image's score; it raises what V4 raised on this image alone."""
        image = Waiting(planes, threshold, Future())
        self._waiting.put(image)
        return image.score

    def close(self) -> None:
        """Score what is waiting, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while first := self._waiting.get():
            batch = [first]
            deadline = time.monotonic() + self._wait_s
            while len(batch) < self._batch_size:
                try:
                    following = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    break
                if following is None:
                    self._score(batch)
                    return
                batch.append(following)
            self._score(batch)

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
