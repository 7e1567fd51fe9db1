"""V4's own network, trained from random weights on the same examples as the other approaches.

V4 as shipped has learnt from hundreds of times as many. This row shows what the network is worth by itself.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from research.alternative_architectures.examples import Examples, Score
from research.training.loop import Schedule, Trainer, drop_streams, losses
from worker.v4.network import Network
from worker.v4.streams import compute, stack

_BATCH: Final = 128
_AVERAGE: Final = 0.98
"""Decay of the moving average of the weights: short enough for some hundred steps."""


def train(examples: Examples, seed: int, epochs: int) -> Score:
    """Train the network with V4's losses; scores are stego logits."""
    torch.manual_seed(seed)
    steps = max(1, epochs * len(examples) // _BATCH)
    trainer = Trainer(Network(), Schedule(steps, average=_AVERAGE))
    method, order = torch.from_numpy(examples.method), torch.from_numpy(examples.order)
    for step in range(steps):
        rng = np.random.default_rng([seed, 10, step])
        rows = rng.integers(len(examples), size=min(_BATCH, len(examples)))
        streams = drop_streams(compute(stack(examples.planes[rows])), rng)
        heads = trainer.network(streams)
        trainer.step(losses(heads, method[torch.from_numpy(rows)], order[torch.from_numpy(rows)]), step / steps)
    network = trainer.finish()

    def score(shown: Examples) -> NDArray[np.float64]:
        starts = range(0, len(shown), _BATCH)
        with torch.inference_mode():
            parts = [network(compute(stack(shown.planes[start : start + _BATCH]))).stego for start in starts]
        return torch.cat(parts).double().numpy()

    return score
