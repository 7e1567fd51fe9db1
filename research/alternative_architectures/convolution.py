"""A small spatial network on high-pass residuals, after Ye-Net (Ye, Ni and Yi 2017) and SRNet (Boroumand et al. 2019).

Its input is the upper left piece of the picture, without metadata and trailing bytes. Fixed filters remove the image
content, residuals are clamped at 3, and convolutions follow.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from research.alternative_architectures.examples import PIXEL_METHODS, Examples, Score

_FILTERS: Final = (
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 0, -1, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 0, -1, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, -2, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0)),
    ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1)),
)
"""First and second differences, and two filters of the SRM (Fridrich and Kodovsky 2012)."""
_CLAMP: Final = 3.0
_CHANNELS: Final = 4
_BATCH: Final = 32
_RUN: Final = 8
"""Examples that stay together in shuffling, so that a batch has stego images with their twins."""


class Residuals(nn.Module):
    """Maps samples (B, 4, H, W) to clamped residuals (B, 24, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        bank = torch.tensor(_FILTERS, dtype=torch.float32)[:, None]
        self.bank = nn.Buffer(bank.repeat(_CHANNELS, 1, 1, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Apply all filters to each channel."""
        padded = functional.pad(samples, (2, 2, 2, 2), mode="replicate")
        return functional.conv2d(padded, self.bank, groups=_CHANNELS).clamp(-_CLAMP, _CLAMP)


def build() -> nn.Sequential:
    """Build the network, which maps samples (B, 4, H, W) to logits (B, 1)."""
    widths = (len(_FILTERS) * _CHANNELS, 16, 24, 32, 48)
    layers: list[nn.Module] = [Residuals()]
    for number, (inner, outer) in enumerate(pairwise(widths)):
        stride = 1 if number == 0 else 2
        layers += [nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1))


def train(examples: Examples, seed: int, epochs: int) -> Score:
    """Train the network; payloads outside the samples count as clean. Scores are logits."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 7])
    wanted = torch.from_numpy(np.isin(examples.method, PIXEL_METHODS)).float()
    network = build()
    runs = [range(start, min(start + _RUN, len(examples))) for start in range(0, len(examples), _RUN)]
    steps = epochs * -(-len(examples) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps + 1)
    for _ in range(epochs):
        order = np.concatenate([np.array(runs[run]) for run in rng.permutation(len(runs))])
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            logits = network(show(examples.pieces[rows]))[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, wanted[torch.from_numpy(rows)])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    network.eval()

    def score(shown: Examples) -> NDArray[np.float64]:
        with torch.inference_mode():
            parts = [
                network(show(shown.pieces[start : start + _BATCH]))[:, 0].double().numpy()
                for start in range(0, len(shown), _BATCH)
            ]
        return np.concatenate(parts)

    return score


def show(pieces: NDArray[np.uint8]) -> Tensor:
    """Return pieces (B, 4, H, W) as input of the network."""
    # Twice as fast on a CPU as channels first.
    return torch.from_numpy(pieces).float().contiguous(memory_format=torch.channels_last)
