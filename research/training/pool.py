"""A bounded pool of training examples to draw batches from."""

import numpy as np
import torch
from torch import Tensor

from research.training.shards import Shard
from worker.v4.streams import PlaneBatch, stack


class Pool:
    """The latest examples, as stacked planes in memory: about 30 KB for each."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._shards: list[tuple[PlaneBatch, Tensor, Tensor]] = []
        self._size = 0

    def add(self, shard: Shard) -> None:
        """Add a shard; drops the oldest shards while the capacity is exceeded."""
        self._shards.append((stack(shard.planes), torch.from_numpy(shard.method), torch.from_numpy(shard.order)))
        self._size += len(shard.planes)
        while self._size > self._capacity and len(self._shards) > 1:
            self._size -= len(self._shards.pop(0)[1])

    def draw(self, rng: np.random.Generator, size: int) -> tuple[PlaneBatch, Tensor, Tensor]:
        """Draw a batch: planes, and class ids of methods and bit orders, both (size,) int64."""
        per_shard = len(self._shards[0][1])
        numbers = rng.integers(len(self._shards) * per_shard, size=size)
        groups: list[tuple[PlaneBatch, Tensor, Tensor]] = []
        for number in np.unique(numbers // per_shard):
            planes, method, order = self._shards[number]
            rows = torch.from_numpy(numbers[numbers // per_shard == number] % per_shard)
            picked = PlaneBatch({name: value[rows] for name, value in planes.arrays.items()}, planes.numbers[rows])
            groups.append((picked, method[rows], order[rows]))
        names = groups[0][0].arrays
        arrays = {name: torch.cat([group[0].arrays[name] for group in groups]) for name in names}
        batch = PlaneBatch(arrays, torch.cat([group[0].numbers for group in groups]))
        return batch, torch.cat([group[1] for group in groups]), torch.cat([group[2] for group in groups])
