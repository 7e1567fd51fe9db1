"""A small spatial network on high-pass residuals, after Ye-Net (Ye, Ni and Yi 2017) and SRNet (Boroumand et al. 2019).

Its input is the whole picture, without metadata and trailing bytes. Fixed filters remove the image content, residuals
are clamped at 3, convolutions follow, and the mean over the picture decides, so that pictures of all sizes can be seen.
"""

from collections.abc import Iterator, Sequence
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
_SORTED: Final = 16
"""Batches that are sorted by size together: pictures of a batch are padded to the largest of them."""
_STRIDES: Final = (2, 2, 2, 1)
"""The first one is against the literature, which keeps the full resolution longer: a fourth of the time."""


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


class Spatial(nn.Module):
    """Maps samples (B, 4, H, W), and a mask (B, 1, H, W) that is 1 inside the pictures, to logits (B,)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (len(_FILTERS) * _CHANNELS, 16, 24, 32, 48)
        self.residuals = Residuals()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())
            for (inner, outer), stride in zip(pairwise(widths), _STRIDES, strict=True)
        )
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, samples: Tensor, mask: Tensor) -> Tensor:
        """Score a batch."""
        values = self.residuals(samples) * mask
        for layer, stride in zip(self.layers, _STRIDES, strict=True):
            mask = mask[:, :, ::stride, ::stride]
            values = layer(values) * mask
        logits: Tensor = self.last(values.sum((2, 3)) / mask.sum((2, 3)))[:, 0]
        return logits


def train(examples: Examples, seed: int, epochs: int) -> Score:
    """Train the network; payloads outside the samples count as clean. Scores are logits."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 7])
    wanted = torch.from_numpy(np.isin(examples.method, PIXEL_METHODS)).float()
    network = Spatial()
    steps = epochs * -(-len(examples) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps + 1)
    for _ in range(epochs):
        for rows in _make_batches(rng, examples):
            logits = network(*show([examples.pictures[row] for row in rows]))
            loss = functional.binary_cross_entropy_with_logits(logits, wanted[torch.from_numpy(rows)])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    network.eval()

    def score(shown: Examples) -> NDArray[np.float64]:
        scores = np.zeros(len(shown))
        order = np.argsort([picture.size for picture in shown.pictures], kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                scores[rows] = network(*show([shown.pictures[row] for row in rows])).double().numpy()
        return scores

    return score


def show(pictures: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """Return pictures (4, H, W) of any sizes as input of the network: samples and mask."""
    height, width = np.max([picture.shape[1:] for picture in pictures], axis=0)
    samples = torch.zeros(len(pictures), _CHANNELS, height, width)
    mask = torch.zeros(len(pictures), 1, height, width)
    for number, picture in enumerate(pictures):
        # The border is repeated, so that it is no edge.
        below, right = height - picture.shape[1], width - picture.shape[2]
        samples[number] = torch.from_numpy(np.pad(picture, ((0, 0), (0, below), (0, right)), "edge")).float()
        mask[number, :, : picture.shape[1], : picture.shape[2]] = 1.0
    # Twice as fast on a CPU as channels first.
    return samples.contiguous(memory_format=torch.channels_last), mask


def _make_batches(rng: np.random.Generator, examples: Examples) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of batches of pictures of similar sizes, in random order."""
    runs = [np.arange(start, min(start + _RUN, len(examples))) for start in range(0, len(examples), _RUN)]
    order = [runs[run] for run in rng.permutation(len(runs))]
    together = _SORTED * _BATCH // _RUN
    batches = []
    for start in range(0, len(order), together):
        group = sorted(order[start : start + together], key=lambda run: max(examples.pictures[row].size for row in run))
        rows = np.concatenate(group)
        batches += [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]
    for number in rng.permutation(len(batches)):
        yield batches[number]
