"""Likelihood of byte sequences under first-order Markov models of clean images and of payloads.

A model is a table of the frequencies with which a byte follows another, for each sequence that V4 reads and each band
of noise in its carrier. There are two detectors: `surprise` uses clean images only; `ratio` compares clean images with
payloads (text and other), and uses the prefix of the sequence with the highest ratio.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from research.alternative_architectures.examples import PIXEL_METHODS, Examples, Score
from research.evaluation.traits import measure_noise
from research.evaluation.writers import NOISE
from starlight_vocabulary.words import METHODS
from worker.v4.network import SLOTS_OF
from worker.v4.planes import PlaneArray
from worker.v4.streams import SLOTS, compute, stack
from worker.v4.utf8 import PADDING

Tokens = NDArray[np.int32]
Table = NDArray[np.float64]

_BATCH: Final = 128
_BANDS: Final = len(NOISE) - 1
_PRIOR: Final = 32.0
"""Weight of the prior, which is the frequency of a byte regardless of its predecessor, in bytes."""
_ENDS: Final = np.array([8, 16, 32, 64, 128, 256, 512, 1024])
"""Lengths of the prefixes that `surprise` scores, in bytes."""
_HEADER: Final = 40
_FEWEST: Final = 4
_BINARY: Final = 2
_NOTHING: Final = -1e3


@dataclass(frozen=True, slots=True)
class Sequences:
    """Byte sequences of B images: `tokens` (B, 9, 1024), `PADDING` after the end, and noise `band` (B, 9)."""

    tokens: Tokens
    band: NDArray[np.int64]


def read_sequences(planes: PlaneArray) -> Iterator[Sequences]:
    """Yield V4's byte sequences in batches of images, with the noise band of each carrier; 0 for text in the file."""
    for start in range(0, len(planes), _BATCH):
        chosen = np.ascontiguousarray(planes[start : start + _BATCH])
        streams = compute(stack(chosen))
        tokens = torch.cat([streams.meta, streams.alpha, streams.lsb, streams.palette_lsb], dim=1).numpy()
        noise = np.zeros((len(chosen), len(SLOTS)))
        for method in ("alpha", "lsb.rgb", "palette"):
            slots = SLOTS_OF[METHODS.index(method)]
            noise[:, slots] = np.array([measure_noise(each, method) for each in chosen])[:, None]
        yield Sequences(tokens, np.digitize(noise, NOISE[1:-1]))


def train_surprise(examples: Examples) -> Score:
    """Train on clean images only; a score is the largest cost of a prefix, in standard deviations from the mean."""
    clean = examples.planes[examples.is_clean]
    # Images that are in the tables have lower costs, so mean and deviation come from the others.
    tables = _count_clean(clean[::2])
    mean, deviation = _standardize(tables, clean[1::2])
    slots = np.arange(len(SLOTS))

    def score(shown: Examples) -> NDArray[np.float64]:
        most = []
        for read in read_sequences(shown.planes):
            away = (_sum_up(_look_up(tables, read)) - mean[slots, read.band]) / deviation[slots, read.band]
            away[read.tokens[:, :, 0] == PADDING] = _NOTHING
            most.append(away.max(axis=(1, 2)))
        return np.concatenate(most)

    return score


def train_ratio(examples: Examples) -> Score:
    """Train on clean images and payloads; a score is the largest log-likelihood ratio of a prefix."""
    tables = _count_clean(examples.planes[examples.is_clean])
    payloads = _count_payloads(examples)

    def score(shown: Examples) -> NDArray[np.float64]:
        most = []
        for read in read_sequences(shown.planes):
            clean = _look_up(tables, read)
            best = np.full(len(clean), _NOTHING)
            for table in payloads:
                gain = np.where(read.tokens != PADDING, clean - _follow(table, read.tokens), _NOTHING)
                best = np.maximum(best, gain.cumsum(axis=2).max(axis=(1, 2)))
            most.append(best)
        return np.concatenate(most)

    return score


def _count_clean(planes: PlaneArray) -> Table:
    """Return costs (9, bands, 257, 256): -log of the probability of a byte after another, or at the start (256)."""
    counts = np.zeros((len(SLOTS), _BANDS, PADDING + 1, PADDING))
    for read in read_sequences(planes):
        before, after = _pairs(read.tokens)
        for slot in range(len(SLOTS)):
            for band in np.unique(read.band[:, slot]):
                rows = read.band[:, slot] == band
                _add(counts[slot, band], before[rows, slot], after[rows, slot])
    return _to_costs(counts)


def _count_payloads(examples: Examples) -> Table:
    """Return costs (2, 257, 256) of payloads with their headers: of text, and of others."""
    counts = np.zeros((2, PADDING + 1, PADDING))
    stego = examples.pick(~examples.is_clean)
    row = 0
    for read in read_sequences(stego.planes):
        for tokens in read.tokens:
            slots = SLOTS_OF[stego.method[row]]
            # Pixel methods have a sequence for each bit order; for the others only the first sequence matters.
            slot = slots[max(0, int(stego.order[row])) % len(slots)] if stego.method[row] in PIXEL_METHODS else slots[0]
            before, after = _pairs(tokens[slot, : _find_end(tokens[slot], stego.payload[row])])
            _add(counts[int(stego.group[row] == _BINARY)], before, after)
            row += 1
    return _to_costs(counts)


def _find_end(tokens: Tokens, payload: bytes) -> int:
    """Return the end of a payload in its sequence; it may have a header before it."""
    start = bytes(tokens[tokens != PADDING].astype(np.uint8)).find(payload[:16])
    return min((start if start >= 0 else _HEADER) + len(payload) + 1, tokens.size)


def _to_costs(counts: Table) -> Table:
    """Return -log of the smoothed frequencies; the prior itself is smoothed by adding one."""
    total = counts.sum(axis=-2, keepdims=True) + 1.0
    mean = total / total.sum(axis=-1, keepdims=True)
    costs: Table = -np.log((counts + _PRIOR * mean) / (counts.sum(axis=-1, keepdims=True) + _PRIOR))
    return costs


def _pairs(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Return the predecessor of each byte, `PADDING` for the first, and the bytes."""
    start = np.full((*tokens.shape[:-1], 1), PADDING, tokens.dtype)
    return np.concatenate([start, tokens[..., :-1]], axis=-1), tokens


def _add(counts: Table, before: Tokens, after: Tokens) -> None:
    real = after != PADDING
    counts += np.bincount(before[real] * PADDING + after[real], minlength=counts.size).reshape(counts.shape)


def _follow(table: Table, tokens: Tokens) -> Table:
    before, after = _pairs(tokens)
    costs: Table = table.reshape(-1)[before * PADDING + np.minimum(after, PADDING - 1)]
    return costs


def _look_up(tables: Table, read: Sequences) -> Table:
    """Return the cost (B, 9, 1024) of each byte under the model of its sequence and band; 0 after the end."""
    before, after = _pairs(read.tokens)
    model = (np.arange(len(SLOTS)) * _BANDS + read.band)[:, :, None] * ((PADDING + 1) * PADDING)
    costs = tables.reshape(-1)[model + before * PADDING + np.minimum(after, PADDING - 1)]
    return np.where(after != PADDING, costs, 0.0)


def _sum_up(costs: Table) -> Table:
    """Return the costs (B, 9, ends) of prefixes."""
    return costs.cumsum(axis=2)[:, :, _ENDS - 1]


def _standardize(tables: Table, planes: PlaneArray) -> tuple[Table, Table]:
    """Return mean and deviation (9, bands, ends) of the costs of clean prefixes; infinite deviation if too few."""
    mean, deviation = np.zeros((2, len(SLOTS), _BANDS, len(_ENDS)))
    deviation[:] = np.inf
    read = [(_sum_up(_look_up(tables, each)), each.band, each.tokens[:, :, 0]) for each in read_sequences(planes)]
    if not read:
        return mean, deviation
    sums, bands, first = (np.concatenate(each) for each in zip(*read, strict=True))
    for slot in range(len(SLOTS)):
        for band in range(_BANDS):
            rows = (bands[:, slot] == band) & (first[:, slot] != PADDING)
            if rows.sum() >= _FEWEST:
                mean[slot, band] = sums[rows, slot].mean(axis=0)
                deviation[slot, band] = sums[rows, slot].std(axis=0) + 1.0
    return mean, deviation
