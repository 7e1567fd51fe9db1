"""The network of V4: one byte-sequence encoder shared by all bit streams, evidence for each method, three heads.

Each byte sequence passes an embedding and three strided convolutions, pooled by maximum and mean, and a dense layer
over its first bytes, where every payload begins. The encoded sequences of a method, the statistics of its carrier and
the context of the image give the evidence for that method; the stego head is the soft OR of all evidence.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from starlight_vocabulary.words import BIT_ORDERS, METHODS
from worker.v4.pair_statistics import PAIR_FEATURES
from worker.v4.streams import CONTENT_FEATURES, FORMAT_FEATURES, SLOTS, Streams
from worker.v4.utf8 import PADDING

SLOTS_OF: Final = ((4,), (7, 8), (5, 6), (0, 1), (2, 3))
"""For each of `METHODS`, the sequences that may carry its payload, as positions in `SLOTS`."""
_PAIRS_OF: Final = (0, 1, 2, None, None)
"""For each of `METHODS`, the position of its carrier in `Streams.pairs`, if it has one."""
_TAPS: Final = 8
_STRIDE: Final = 4
_SEQUENCES_TOGETHER: Final = 64
"""How many sequences a CPU convolves at once: activations stay in its cache, and allocations have few sizes."""
_ABSENT: Final = -30.0
"""The evidence for a method whose carrier the image lacks."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of the network's layers; the weights file states them."""

    embedding: int = 16
    first: int = 48
    channels: int = 64
    head_bytes: int = 32
    sequence: int = 96
    evidence: int = 96
    context: int = 48
    format: int = FORMAT_FEATURES
    content: int = CONTENT_FEATURES


class Heads(NamedTuple):
    """Logits of B images: `stego` (B,), `method` (B, 5) in the order of `METHODS`, `order` (B, 3) of `BIT_ORDERS`."""

    stego: Tensor
    method: Tensor
    order: Tensor


class Network(nn.Module):
    """V4: `Streams` in, `Heads` out."""

    def __init__(self, sizes: Sizes = Sizes()) -> None:
        super().__init__()
        self.encoder = SequenceEncoder(sizes)
        self.context = Context(sizes)
        self.evidence = nn.ModuleList(
            MethodEvidence(len(slots), pairs is not None, sizes)
            for slots, pairs in zip(SLOTS_OF, _PAIRS_OF, strict=True)
        )
        self.calibration = nn.Buffer(torch.tensor([1.0, 0.0]))

    def forward(self, streams: Streams) -> Heads:
        """Score a batch."""
        return self.judge(streams, self.pool(streams))

    def pool(self, streams: Streams) -> Tensor:
        """Convolve the byte sequences that are present and pool each, to (S, `pooled`)."""
        tokens = torch.cat([streams.meta, streams.alpha, streams.lsb, streams.palette_lsb], dim=1)
        pooled: Tensor = self.encoder.pool(tokens[streams.present])
        return pooled

    def judge(self, streams: Streams, pooled: Tensor) -> Heads:
        """Score a batch whose sequences are already `pooled`; of the sequences, only the first bytes are read again."""
        count = self.encoder.head_bytes
        tokens = (streams.meta, streams.alpha, streams.lsb, streams.palette_lsb)
        starts = torch.cat([each[:, :, :count] for each in tokens], dim=1)[streams.present]
        batch, slots = streams.present.shape
        context = self.context(streams)
        rows = streams.present.reshape(-1).nonzero()[:, 0]
        encoded = self.encoder(pooled, starts, rows % slots)
        sequences = encoded.new_zeros(batch * slots, encoded.shape[1]).index_copy(0, rows, encoded)
        sequences = sequences.view(batch, slots, -1)

        scores = []
        orders = []
        for module, members, pairs in zip(self.evidence, SLOTS_OF, _PAIRS_OF, strict=True):
            parts = [sequences[:, members].flatten(1), streams.content[:, members].flatten(1), context]
            if pairs is not None:
                parts.append(streams.pairs[:, pairs])
            out = module(torch.cat(parts, dim=1))
            scores.append(out[:, 0].masked_fill(~streams.present[:, members[0]], _ABSENT))
            orders.append(out[:, 1:])
        method = torch.stack(scores, dim=1)
        order = (torch.softmax(method, dim=1)[:, :, None] * torch.stack(orders, dim=1)).sum(1)
        stego = soft_or(method) * self.calibration[0] + self.calibration[1]
        return Heads(stego, method, order)


class SequenceEncoder(nn.Module):
    """Encodes byte sequences: (S, 1024) tokens, pooled and by their first ones, and slots (S,), to (S, sequence)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.head_bytes = sizes.head_bytes
        self.pooled = 3 * sizes.channels
        self.embedding = nn.Embedding(PADDING + 1, sizes.embedding)
        self.slot = nn.Embedding(len(SLOTS), sizes.sequence)
        self.first = nn.Parameter(torch.randn(_TAPS, sizes.embedding, sizes.first) / sizes.embedding**0.5 / _TAPS**0.5)
        self.first_bias = nn.Parameter(torch.zeros(sizes.first))
        self.convolutions = nn.Sequential(
            nn.Conv1d(sizes.first, sizes.channels, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(sizes.channels, sizes.channels, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(nn.Linear(sizes.head_bytes * sizes.embedding, sizes.channels * 2), nn.ReLU())
        self.join = nn.Sequential(nn.LayerNorm(sizes.channels * 5), nn.Linear(sizes.channels * 5, sizes.sequence))

    def pool(self, tokens: Tensor) -> Tensor:
        """Convolve sequences and pool them over their positions, to (S, `pooled`)."""
        # An embedding followed by a convolution is one lookup table per tap. On a CPU, looking up rows and adding them
        # is ten times as fast as embedding and convolving.
        table = (self.embedding.weight @ self.first).flatten(0, 1)
        if tokens.device.type != "cpu":
            return self._pool(tokens, table)
        parts = tokens.chunk(max(1, -(-len(tokens) // _SEQUENCES_TOGETHER)))
        return torch.cat([self._pool(part, table) for part in parts])

    def _pool(self, tokens: Tensor, table: Tensor) -> Tensor:
        waves = self._waves(self._first_layer(tokens, table))
        # The first position is added, because a short payload has little effect on the mean and the maximum.
        return torch.cat([waves.amax(1), waves.mean(1), waves[:, 0]], dim=1)

    def forward(self, pooled: Tensor, starts: Tensor, slots: Tensor) -> Tensor:
        """Encode sequences from `pooled` and their first tokens `starts` (S, head_bytes)."""
        start = self.head(self.embedding(starts).flatten(1))
        return functional.relu(self.join(torch.cat([pooled, start], dim=1)) + self.slot(slots))

    def convolved(self) -> list[Tensor]:
        """List the weights that `pool` depends on."""
        return [self.embedding.weight, self.first, self.first_bias, *self.convolutions.parameters()]

    def _waves(self, values: Tensor) -> Tensor:
        """Apply the other convolutions, (S, 256, first) to (S, 64, channels).

        They are computed as two-dimensional convolutions of height 1 in channels-last layout, which is four times as
        fast on CPUs as one-dimensional convolutions.
        """
        image = values.transpose(1, 2)[:, :, None]
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv1d):
                kernel = layer.weight[:, :, None].contiguous(memory_format=torch.channels_last)
                image = functional.relu_(functional.conv2d(image, kernel, layer.bias, (1, 2), (0, 1)))
        return image[:, :, 0].transpose(1, 2)

    def _first_layer(self, tokens: Tensor, table: Tensor) -> Tensor:
        """Apply the first convolution, (S, 1024) to (S, 256, first), with its lookup `table` of taps and tokens."""
        padded = functional.pad(tokens, (2, 2), value=PADDING)
        taps = padded.unfold(1, _TAPS, _STRIDE)
        rows = taps + torch.arange(_TAPS, dtype=taps.dtype, device=taps.device) * (PADDING + 1)
        summed = functional.embedding_bag(rows.flatten(0, 1), table, mode="sum")
        width = self.first.shape[2]  # not -1: a batch without any carrier has no element to infer it from
        return functional.relu_(summed.add_(self.first_bias)).view(*taps.shape[:2], width)


class Context(nn.Module):
    """Encodes the image as a whole: the `pixel`, `palette` and `format` streams to (B, context) float32."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pixel = nn.Sequential(
            nn.Conv2d(3, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 2, stride=2), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.palette = nn.Sequential(nn.Linear(768, 16), nn.ReLU())
        self.join = nn.Sequential(nn.Linear(16 * 16 + 16 + sizes.format, sizes.context), nn.ReLU())

    def forward(self, streams: Streams) -> Tensor:
        """Encode a batch."""
        parts = [self.pixel(streams.pixel), self.palette(streams.palette), streams.format]
        joined: Tensor = self.join(torch.cat(parts, dim=1))
        return joined


class MethodEvidence(nn.Sequential):
    """Evidence (B, 1 + 3) for one method: its logit, then logits of the bit order."""

    def __init__(self, slots: int, has_pairs: bool, sizes: Sizes) -> None:
        width = slots * (sizes.sequence + sizes.content) + sizes.context + (PAIR_FEATURES if has_pairs else 0)
        super().__init__(
            nn.Linear(width, sizes.evidence),
            nn.ReLU(),
            nn.Linear(sizes.evidence, sizes.evidence // 2),
            nn.ReLU(),
            nn.Linear(sizes.evidence // 2, 1 + len(BIT_ORDERS)),
        )


def soft_or(logits: Tensor) -> Tensor:
    """Return the logit of 1 - Π(1 - p) for independent events with logits (B, N), without overflow."""
    total = functional.softplus(logits).sum(1)
    return total + torch.log(-torch.expm1(-total.clamp(min=1e-12)))


assert len(SLOTS_OF) == len(METHODS)
