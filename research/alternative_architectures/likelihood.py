"""How surprising a byte sequence is to a small model of clean ones, and how likely to one of payloads.

A model is a table of how often each byte follows each other byte, one for every sequence that V4 looks at and every
band of noise in its carrier. Two detectors are made of it: `surprise` has seen clean images alone; `ratio` compares
with the same kind of table of payloads, text and other, and takes the beginning that speaks most for one.
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
"""How many bytes a table's mean over what went before counts beside what was counted after each byte."""
_ENDS: Final = np.array([8, 16, 32, 64, 128, 256, 512, 1024])
"""Bytes after which surprise is looked at."""
_HEADER: Final = 40
_FEWEST: Final = 4
_BINARY: Final = 2
_NOTHING: Final = -1e3


@dataclass(frozen=True, slots=True)
class Sequences:
    """Byte sequences of some images: `tokens` (B, 9, 1024), `PADDING` behind the end, and `band` (B, 9) of noise."""

    tokens: Tokens
    band: NDArray[np.int64]


def read_sequences(planes: PlaneArray) -> Iterator[Sequences]:
    """Yield, some images at a time, what V4 reads, and the band of noise of each carrier; 0 of text in the file."""
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
    """Learn from clean images alone; a score is by how many deviations a beginning is more surprising than others."""
    clean = examples.planes[examples.is_clean]
    # Images that were counted surprise less than others do.
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
    """Learn from clean images and payloads; a score is a log-likelihood ratio, the largest of all beginnings."""
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
    """Return (9, bands, 257, 256) costs, -log of how likely a byte is behind another; 256 stands for the beginning."""
    counts = np.zeros((len(SLOTS), _BANDS, PADDING + 1, PADDING))
    for read in read_sequences(planes):
        before, after = _pairs(read.tokens)
        for slot in range(len(SLOTS)):
            for band in np.unique(read.band[:, slot]):
                rows = read.band[:, slot] == band
                _add(counts[slot, band], before[rows, slot], after[rows, slot])
    return _to_costs(counts)


def _count_payloads(examples: Examples) -> Table:
    """Return (2, 257, 256) costs of payloads, with what is written before them: of text, and of all else."""
    counts = np.zeros((2, PADDING + 1, PADDING))
    stego = examples.pick(~examples.is_clean)
    row = 0
    for read in read_sequences(stego.planes):
        for tokens in read.tokens:
            slots = SLOTS_OF[stego.method[row]]
            # The sequences of pixel methods are in the order of the bit orders; text in the file has one that matters.
            slot = slots[max(0, int(stego.order[row])) % len(slots)] if stego.method[row] in PIXEL_METHODS else slots[0]
            before, after = _pairs(tokens[slot, : _find_end(tokens[slot], stego.payload[row])])
            _add(counts[int(stego.group[row] == _BINARY)], before, after)
            row += 1
    return _to_costs(counts)


def _find_end(tokens: Tokens, payload: bytes) -> int:
    """Return where a payload ends in its sequence: it may stand behind a header."""
    start = bytes(tokens[tokens != PADDING].astype(np.uint8)).find(payload[:16])
    return min((start if start >= 0 else _HEADER) + len(payload) + 1, tokens.size)


def _to_costs(counts: Table) -> Table:
    """Smooth counts by how often a byte occurs at all, and that by one for each byte."""
    total = counts.sum(axis=-2, keepdims=True) + 1.0
    mean = total / total.sum(axis=-1, keepdims=True)
    costs: Table = -np.log((counts + _PRIOR * mean) / (counts.sum(axis=-1, keepdims=True) + _PRIOR))
    return costs


def _pairs(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Return each byte's predecessor, `PADDING` before the first, and the byte."""
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
    """Return the cost (B, 9, 1024) of each byte under the model of its sequence and band; 0 behind the end."""
    before, after = _pairs(read.tokens)
    model = (np.arange(len(SLOTS)) * _BANDS + read.band)[:, :, None] * ((PADDING + 1) * PADDING)
    costs = tables.reshape(-1)[model + before * PADDING + np.minimum(after, PADDING - 1)]
    return np.where(after != PADDING, costs, 0.0)


def _sum_up(costs: Table) -> Table:
    """Return the costs (B, 9, ends) of beginnings."""
    return costs.cumsum(axis=2)[:, :, _ENDS - 1]


def _standardize(tables: Table, planes: PlaneArray) -> tuple[Table, Table]:
    """Return mean and deviation (9, bands, ends) of the costs of clean beginnings; too few of them say nothing."""
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
