"""Training with frozen convolutions, whose output is computed once for each example instead of at each step.

The convolutions of a trained model already recognise text, structure and noise; new writers and harmless files need
changes in the later layers only. A step without convolutions costs a tenth, so it trains on far more examples in the
same time.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from research.training.loop import Schedule, Trainer, drop_streams, losses
from research.training.model_files import pack_weights
from research.training.shards import Shard
from worker.v4.network import Network
from worker.v4.streams import Streams, compute, stack
from worker.v4.utf8 import PADDING

_CHUNK: Final = 128
_TOKENS: Final = ("meta", "alpha", "lsb", "palette_lsb")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples as input of the evidence layers: streams with only the first bytes of each sequence, pooled sequences.

    `pooled` is (N, 9, `pooled`) float16, 0 for absent sequences; `method` and `order` are (N,) class ids.
    """

    streams: Streams
    pooled: Tensor
    method: Tensor
    order: Tensor

    def pick(self, rows: Tensor) -> "Encoded":
        """Return the examples of these rows."""
        picked = {each.name: getattr(self.streams, each.name)[rows] for each in fields(Streams)}
        return Encoded(Streams(**picked), self.pooled[rows], self.method[rows], self.order[rows])


def encode(network: Network, shard: Shard) -> Encoded:
    """Compute streams and pooled sequences of a shard."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(shard.planes), _CHUNK):
            streams = compute(stack(shard.planes[start : start + _CHUNK]))
            pooled = torch.zeros(*streams.present.shape, network.encoder.pooled)
            pooled[streams.present] = network.pool(streams)
            heads = {
                name: getattr(streams, name)[:, :, : network.encoder.head_bytes].to(torch.int16) for name in _TOKENS
            }
            parts.append((replace(streams, **heads), pooled.half()))
    joined = {each.name: torch.cat([getattr(streams, each.name) for streams, _ in parts]) for each in fields(Streams)}
    pooled = torch.cat([pooled for _, pooled in parts])
    return Encoded(Streams(**joined), pooled, torch.from_numpy(shard.method), torch.from_numpy(shard.order))


def draw_batch(groups: list[Encoded], rng: np.random.Generator, size: int) -> Encoded:
    """Draw a batch from shards of equal size, with tokens and pooled sequences in the network's types."""
    per_shard = len(groups[0].method)
    numbers = rng.integers(len(groups) * per_shard, size=size)
    picked = [
        groups[number].pick(torch.from_numpy(numbers[numbers // per_shard == number] % per_shard))
        for number in np.unique(numbers // per_shard)
    ]
    streams = {
        each.name: torch.cat([getattr(group.streams, each.name) for group in picked]) for each in fields(Streams)
    }
    streams |= {name: streams[name].int() for name in _TOKENS}
    pooled = torch.cat([group.pooled for group in picked]).float()
    method, order = torch.cat([group.method for group in picked]), torch.cat([group.order for group in picked])
    return Encoded(Streams(**streams), pooled, method, order)


def train_evidence(network: Network, shards: Iterator[Shard], schedule: Schedule, seed: int) -> Network:
    """Train all but the convolutions and return the moving average; the same shards and steps give the same weights.

    The log has a digest of the weights every ten shards, to compare another run before it ends.
    """
    for value in network.encoder.convolved():
        value.requires_grad = False
    trainer = Trainer(network, schedule)
    groups: list[Encoded] = []
    started = time.monotonic()
    step = 0
    for number, shard in enumerate(shards):
        groups.append(encode(network, shard))
        if len(groups) * len(shard.planes) > schedule.pool:
            groups.pop(0)
        for _ in range(schedule.steps_per_shard):
            if step >= schedule.steps:
                return trainer.finish()
            batch = draw_batch(groups, np.random.default_rng([seed, 1, step]), schedule.batch)
            streams = drop_streams(batch.streams, np.random.default_rng([seed, 2, step]))
            heads = network.judge(streams, batch.pooled[streams.present])
            trainer.step(losses(heads, batch.method, batch.order), step / schedule.steps)
            step += 1
        if number % 10 == 0:
            log.info(
                "step %d of %d, %.1f minutes, loss %.4f, weights sha256 %.16s",
                step,
                schedule.steps,
                (time.monotonic() - started) / 60.0,
                trainer.mean_loss,
                hashlib.sha256(pack_weights(network)).hexdigest(),
            )
    return trainer.finish()


assert torch.iinfo(torch.int16).max > PADDING
