"""The training loop: three losses, one network, a moving average of its weights."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from research.training.pool import Pool
from research.training.shards import CLEAN, UNKNOWN, Shard
from worker.v4.network import Heads, Network
from worker.v4.streams import Streams, compute, stack

_DROP_RATE: Final = 0.01
"""Share of the images that a stream is dropped from."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Duration and learning rate. Training ends after `steps`, or after `minutes` if they are given."""

    steps: int
    minutes: float | None = None
    batch: int = 128
    steps_per_shard: int = 12
    pool: int = 60_000
    peak_rate: float = 2e-3
    warm_up: float = 0.03
    average: float = 0.998

    def rate(self, progress: float) -> float:
        """Return the learning rate at `progress` 0 to 1: a short warm-up, then a half cosine to zero."""
        warm = min(1.0, progress / self.warm_up)
        return self.peak_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def losses(heads: Heads, method: Tensor, order: Tensor) -> Tensor:
    """Return the loss of a batch: stego head, evidence of each method, and bit order where it is known."""
    stego = (method != CLEAN).float()
    of_methods = functional.one_hot(method.clamp(min=0), heads.method.shape[1]) * stego[:, None]
    loss = functional.binary_cross_entropy_with_logits(heads.stego, stego)
    # Absent carriers have a fixed logit, so their loss and gradient are zero.
    loss = loss + functional.binary_cross_entropy_with_logits(heads.method, of_methods, reduction="none").sum(1).mean()
    if bool((order != UNKNOWN).any()):
        loss = loss + 0.3 * functional.cross_entropy(heads.order, order)
    return loss


class Trainer:
    """Trains `network`: holds its optimizer, the moving averages of its weights and of its loss."""

    def __init__(self, network: Network, schedule: Schedule) -> None:
        self.network = network
        self._schedule = schedule
        self._averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True)  # type: ignore[no-untyped-call]
        trained = [value for value in network.parameters() if value.requires_grad]
        groups: list[dict[str, object]] = [
            {"params": [value for value in trained if value.ndim > 1]},
            {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.02)
        self._started = False
        self.mean_loss = 0.0

    def step(self, loss: Tensor, progress: float) -> None:
        """Take one optimizer step at the schedule's learning rate for `progress`."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(progress)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._averaged.update_parameters(self.network)
        self.mean_loss = 0.99 * self.mean_loss + 0.01 * loss.item() if self._started else loss.item()
        self._started = True

    def finish(self) -> Network:
        """Return the network with averaged weights, in evaluation mode."""
        network = self._averaged.module
        assert isinstance(network, Network)
        return network.eval()


def train(network: Network, shards: Iterator[Shard], schedule: Schedule, seed: int) -> Network:
    """Train and return the moving average of the network; the same shards and steps give the same weights."""
    trainer = Trainer(network, schedule)
    pool = Pool(schedule.pool)
    started = time.monotonic()
    step, progress = 0, 0.0
    for number, shard in enumerate(shards):
        pool.add(shard)
        for _ in range(schedule.steps_per_shard):
            elapsed = (time.monotonic() - started) / 60.0
            progress = elapsed / schedule.minutes if schedule.minutes else step / schedule.steps
            if progress >= 1.0:
                return trainer.finish()
            planes, method, order = pool.draw(np.random.default_rng([seed, 1, step]), schedule.batch)
            streams = drop_streams(compute(planes), np.random.default_rng([seed, 2, step]))
            trainer.step(losses(network(streams), method, order), progress)
            step += 1
        if number % 10 == 0:
            log.info("step %d, %.0f %%, %.1f minutes, loss %.4f", step, 100 * progress, elapsed, trainer.mean_loss)
    return trainer.finish()


def mix(trained: Network, others: Sequence[tuple[Network, float]]) -> Network:
    """Return the trained network with weights that are a mean of its own and of others', each with its share.

    Trainings from the same weights err differently, and their mean errs less than each (Wortsman et al., 2022).
    """
    weights = [(other.state_dict(), share) for other, share in others]
    own = 1.0 - sum(share for _, share in others)
    with torch.no_grad():
        for name, value in trained.state_dict().items():
            value.mul_(own)
            for each, share in weights:
                value.add_(each[name], alpha=share)
    return trained


def drop_streams(streams: Streams, rng: np.random.Generator) -> Streams:
    """Zero each stream that is not a carrier in a few images, so that the network does not depend on it."""
    changed = {}
    for name in ("pixel", "palette", "format", "content"):
        stream = getattr(streams, name)
        kept = torch.from_numpy(rng.random(stream.shape[0]) >= _DROP_RATE).view(-1, *[1] * (stream.ndim - 1))
        changed[name] = stream * kept
    return replace(streams, **changed)


def calibrate(network: Network, shards: Iterator[Shard], count: int) -> None:
    """Fit the scale and shift of the stego logit on shards that were not trained on (Platt 1999)."""
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for _ in range(count):
        shard = next(shards)
        with torch.inference_mode():
            logits.append(network(compute(stack(shard.planes))).stego)
        targets.append(torch.from_numpy(shard.method != CLEAN).float())
    logit, target = torch.cat(logits).clone().double(), torch.cat(targets).double()
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(logit * parameters[0] + parameters[1], target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    network.calibration.copy_(parameters.detach().float())
    log.info("calibration: scale %.3f, shift %.3f", *parameters.tolist())
