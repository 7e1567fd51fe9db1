"""The eight input streams, computed in batch on the device from the uint8 planes.

Bit streams are packed from interleaved samples (R, G, B of one pixel, then of the next) in both bit orders: packing
plane by plane would destroy the bytes that interleaved embedding leaves. The pair statistics follow sample-pair
analysis (Dumitrescu, Wu, Wang 2003): replacing least significant bits moves values within the pairs (2k, 2k+1) and
never across them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from worker.v4.containers import CONTAINERS
from worker.v4.planes import MODES, SAMPLES, TEXT_BYTES, Planes

PADDING: Final = 256
"""Token after a byte sequence's end."""

SLOTS: Final = (
    "exif",
    "raw",
    "alpha",
    "lsb:lsb-first",
    "lsb:msb-first",
    "palette:lsb-first",
    "palette:msb-first",
)
"""The byte sequences of one image, in the order of `Streams.content` and `Streams.present`."""

WINDOWS: Final = ((0, 256), (256, 1024), (1024, 4096), (4096, SAMPLES))
"""Ranges of carrier samples over which pair statistics are taken."""

PAIR_FEATURES: Final = 14 * (len(WINDOWS) + 1)
"""Pair statistics of one carrier: 14 for each window and for the centre crop."""

_ARRAYS: Final = ("pixel", "rgb", "alpha", "index", "palette", "user_comment", "trailing")
_NUMBERS: Final = (
    "rgb_count", "alpha_count", "index_count", "palette_colours", "user_comment_size", "trailing_size",
    "exif_size", "width", "height", "mode", "container",
)  # fmt: skip
# Sizes beyond these are alike: a payload takes no notice of how large the picture or its camera's records are.
_LARGEST: Final = {
    "rgb_count": SAMPLES,
    "alpha_count": SAMPLES,
    "index_count": SAMPLES,
    "palette_colours": 256,
    "user_comment_size": 4096,
    "trailing_size": 8192,
    "exif_size": 256,
    "width": 128,
    "height": 128,
}
FORMAT_FEATURES: Final = len(MODES) + len(CONTAINERS) + 14
CONTENT_FEATURES: Final = 26


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of B images, on one device.

    `pixel` (B, 3, 32, 32) float32 in [-1, 1]; `meta` (B, 2, 1024), `alpha` (B, 1, 1024), `lsb` and `palette_lsb` (B,
    2, 1024) int32 tokens 0 to 255, or `PADDING` after the end; `palette` (B, 768) float32 in [0, 1]; `format` (B,
    FORMAT_FEATURES) and `content` (B, 7, CONTENT_FEATURES) float32; `pairs` (B, 3, PAIR_FEATURES) float32, the pair
    statistics of the alpha, palette and RGB carriers, part of the streams of these names; `present` (B, 7) bool.
    """

    pixel: Tensor
    meta: Tensor
    alpha: Tensor
    lsb: Tensor
    palette: Tensor
    palette_lsb: Tensor
    format: Tensor
    content: Tensor
    pairs: Tensor
    present: Tensor


@dataclass(frozen=True, slots=True)
class PlaneBatch:
    """The planes of B images stacked: uint8 arrays by name, and `numbers` (B, 11) int64."""

    arrays: dict[str, Tensor]
    numbers: Tensor


def stack(planes: Sequence[Planes], device: torch.device | str = "cpu") -> PlaneBatch:
    """Stack planes and move them to the device."""
    arrays = {name: torch.from_numpy(np.stack([getattr(item, name) for item in planes])).to(device) for name in _ARRAYS}
    numbers = np.array([[getattr(item, name) for name in _NUMBERS] for item in planes], np.int64)
    return PlaneBatch(arrays, torch.from_numpy(numbers).to(device))


def compute(batch: PlaneBatch) -> Streams:
    """Compute the eight streams of a batch."""
    arrays = batch.arrays
    count = dict(zip(_NUMBERS, batch.numbers.unbind(1), strict=True))
    alpha = _pack(arrays["alpha"], count["alpha_count"])
    lsb = _pack(arrays["rgb"], count["rgb_count"])
    palette_lsb = _pack(arrays["index"], count["index_count"])
    comment = _tokens(arrays["user_comment"], count["user_comment_size"])
    trailing = _tokens(arrays["trailing"], count["trailing_size"])
    tokens = torch.stack(
        [comment, trailing, alpha[:, 0], lsb[:, 0], lsb[:, 1], palette_lsb[:, 0], palette_lsb[:, 1]], dim=1
    )
    present = tokens[:, :, 0] != PADDING
    return Streams(
        pixel=arrays["pixel"].permute(0, 3, 1, 2).float() / 127.5 - 1.0,
        meta=tokens[:, :2],
        alpha=tokens[:, 2:3],
        lsb=tokens[:, 3:5],
        palette=arrays["palette"].float() / 255.0,
        palette_lsb=tokens[:, 5:],
        format=_format(count),
        content=_content(tokens, present),
        pairs=_pairs(arrays, count),
        present=present,
    )


def _pack(samples: Tensor, count: Tensor) -> Tensor:
    """Pack the least significant bits of (B, 8192) samples as (B, 2, 1024) tokens: first LSB-first, then MSB-first."""
    bits = (samples & 1).view(samples.shape[0], TEXT_BYTES, 8).float()
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.float32, device=samples.device)
    packed = torch.stack([bits @ weights, bits @ weights.flip(0)], dim=1)
    return _padded(packed.to(torch.int32), (count // 8)[:, None, None])


def _tokens(values: Tensor, count: Tensor) -> Tensor:
    return _padded(values.to(torch.int32), count[:, None])


def _padded(values: Tensor, count: Tensor) -> Tensor:
    position = torch.arange(values.shape[-1], device=values.device)
    return values.masked_fill(position >= count, PADDING)


def _format(count: dict[str, Tensor]) -> Tensor:
    mode = torch.nn.functional.one_hot(count["mode"], len(MODES))
    container = torch.nn.functional.one_hot(count["container"], len(CONTAINERS))
    sizes = torch.stack([count[name].clamp(max=limit) for name, limit in _LARGEST.items()], dim=1).float()
    has = (sizes[:, [1, 3, 4, 5, 6]] > 0).float()
    return torch.cat([mode.float(), container.float(), torch.log2(1.0 + sizes) / 16.0, has], dim=1)


def _content(tokens: Tensor, present: Tensor) -> Tensor:
    """Return byte statistics (B, 7, CONTENT_FEATURES) of the sequences that are present.

    Shares of kinds of bytes near the start and in all, entropy, repetition, distance to the first zero, length.
    """
    features = torch.zeros(*present.shape, CONTENT_FEATURES, device=tokens.device)
    rows = tokens[present]
    if rows.shape[0] == 0:
        return features
    classes = _byte_classes(tokens.device)
    counts = [_histogram(rows[:, :stop], PADDING + 1) for stop in (16, 64, TEXT_BYTES)]
    length = (counts[-1].sum(1) - counts[-1][:, PADDING]).clamp(min=1.0)
    shares = [(count @ classes) / count[:, :PADDING].sum(1, keepdim=True).clamp(min=1.0) for count in counts]
    frequency = counts[-1][:, :PADDING] / length[:, None]
    entropy = -torch.special.xlogy(frequency, frequency).sum(1) / math.log(256)
    distinct = (frequency > 0).float().mean(1)
    start = rows[:, :64].float()
    repeats = [(start[:, lag:] == start[:, :-lag]).float().mean(1) for lag in (1, 2, 3, 4)]
    # The value of argmax is the first position of the maximum.
    first_zero = ((rows == 0) | (rows == PADDING)).to(torch.uint8)
    first_zero[:, -1] = 1
    where = first_zero.argmax(1).float()
    scalars = torch.stack(
        [entropy, distinct, *repeats, torch.log2(1.0 + where) / 10.0, torch.log2(length) / 10.0], dim=1
    )
    features[present] = torch.cat([*shares, scalars], dim=1)
    return features


def _byte_classes(device: torch.device) -> Tensor:
    """Return the membership (257, 6) of tokens: printable ASCII, letter, not ASCII, space, 0, 255."""
    token = torch.arange(PADDING + 1, device=device)
    lower = token | 32
    kinds = [
        (token >= 32) & (token < 127),
        (lower >= 97) & (lower < 123) & (token < 128),
        (token >= 128) & (token < PADDING),
        token == 32,
        token == 0,
        token == 255,
    ]
    return torch.stack(kinds, dim=1).float()


def _histogram(values: Tensor, bins: int) -> Tensor:
    """Count how often each of 0 to `bins` - 1 occurs in each row of (N, K) integers, as (N, bins) float32."""
    offset = torch.arange(values.shape[0], device=values.device, dtype=values.dtype)[:, None] * bins
    counts = torch.bincount((values + offset).reshape(-1), minlength=values.shape[0] * bins)
    return counts.view(values.shape[0], bins).float()


def _pairs(arrays: dict[str, Tensor], count: dict[str, Tensor]) -> Tensor:
    """Return pair statistics (B, 3, PAIR_FEATURES) of the alpha, index and RGB carriers and of the centre crop."""
    crop = arrays["pixel"].flatten(1)
    reference = _pair_shares(crop, 3, None, (0, crop.shape[1]))
    features = torch.zeros(crop.shape[0], 3, PAIR_FEATURES, device=crop.device)
    for carrier, (name, lag) in enumerate((("alpha", 1), ("index", 1), ("rgb", 3))):
        rows = count[f"{name}_count"].nonzero()[:, 0]
        if rows.shape[0] == 0:
            continue
        samples = arrays[name][rows]
        valid = count[f"{name}_count"][rows]
        windows = [_pair_shares(samples, lag, valid, window) for window in WINDOWS]
        features[rows, carrier] = torch.cat([*windows, reference[rows]], dim=1)
    return features


def _pair_shares(samples: Tensor, lag: int, count: Tensor | None, window: tuple[int, int]) -> Tensor:
    """Return the joint shares (N, 14) of a sample's least significant bit and the difference to its neighbour.

    Differences are cut to -3 to 3. `samples` is (N, K) uint8, of which the first `count` are real; a sample's
    neighbour is `lag` further on.
    """
    start, stop = window
    first = samples[:, start : stop - lag].to(torch.int16)
    second = samples[:, start + lag : stop].to(torch.int16)
    code = (second - first).clamp(-3, 3) + 3 + 7 * (first & 1)
    if count is not None:
        position = torch.arange(start + lag, stop, device=samples.device)
        code = code.masked_fill(position >= count[:, None], 14)
    histogram = _histogram(code.to(torch.int32), 15)[:, :14]
    return histogram / histogram.sum(1, keepdim=True).clamp(min=1.0)
