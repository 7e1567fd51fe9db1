"""Computes the eight input streams in batches, on the device, from the uint8 planes.

Bit streams are packed from interleaved samples (R, G, B of one pixel, then of the next) in both bit orders: packing
each colour plane separately would destroy the bytes that interleaved embedding leaves.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from worker.v4.byte_statistics import BYTE_FEATURES, STUFFING_FEATURES, byte_statistics, stuffing_statistics
from worker.v4.containers import CONTAINERS
from worker.v4.pair_statistics import pair_statistics
from worker.v4.planes import MODES, NUMBERS, PLANES, SAMPLES, TAIL_BYTES, TEXT_BYTES, PlaneArray, extract_planes
from worker.v4.signatures import SIGNATURE_FEATURES, signature_statistics
from worker.v4.text_statistics import (
    LENGTH_FEATURES,
    RUN_FEATURES,
    find_longest_run,
    length_statistics,
    run_statistics,
)
from worker.v4.utf8 import PADDING

SLOTS: Final = (
    "exif",
    "exif:text",
    "raw",
    "raw:end",
    "alpha",
    "lsb:lsb-first",
    "lsb:msb-first",
    "palette:lsb-first",
    "palette:msb-first",
)
"""The byte sequences of one image, in the order of `Streams.content` and `Streams.present`."""

INPUTS: Final = ("pixel", "meta", "alpha", "lsb", "palette", "palette_lsb", "format", "content")
"""The names of the eight streams, which are the inputs of a model."""

_ARRAYS: Final = ("pixel", "rgb", "alpha", "index", "palette", "user_comment", "comment_text", "trailing")
# Sizes are clamped to these: whether there is a payload does not depend on how large the picture or its metadata is.
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
_DECLARATIONS: Final = 4
_ROOM_OF_SLOTS: Final = (1, 1, 1, 1, 1, 3, 3, 1, 1)
"""For each of `SLOTS`, the number of samples per pixel from which it takes bits."""
EARLIER_WIDTHS: Final = ({"format": 37, "content": 71}, {"content": 172}, {"content": 175})
"""Widths in earlier releases of streams that have grown since: those had the first numbers of the current streams."""
_GATHER_LSB_FIRST: Final = 0x0102040810204080
FORMAT_FEATURES: Final = len(MODES) + len(CONTAINERS) + 14 + 8
"""Width of the `format` stream."""
CONTENT_FEATURES: Final = BYTE_FEATURES + RUN_FEATURES + LENGTH_FEATURES + SIGNATURE_FEATURES + STUFFING_FEATURES
"""Number of statistics of one byte sequence in the `content` stream."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of B images, on one device.

    `pixel` (B, 3, 32, 32) float32 in [-1, 1]; `meta` (B, 4, 1024), `alpha` (B, 1, 1024), `lsb` and `palette_lsb` (B,
    2, 1024) int32 tokens 0 to 255, or `PADDING` after the end; `palette` (B, 768) float32 in [0, 1]; `format` (B,
    FORMAT_FEATURES) and `content` (B, 9, CONTENT_FEATURES) float32; `pairs` (B, 3, PAIR_FEATURES) float32, the pair
    statistics of the alpha, palette and RGB carriers, part of the streams of these names; `present` (B, 9) bool.

    `meta` holds the UserComment, its text as UTF-8, the bytes after the image's end, and the last of them backwards.
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
    """The planes of B images by name: uint8 arrays (B, …), and `numbers` (B, 15) int64 in the order of `NUMBERS`."""

    arrays: dict[str, Tensor]
    numbers: Tensor


def stack(planes: Sequence[np.void] | PlaneArray, device: torch.device | str = "cpu") -> PlaneBatch:
    """Move planes to the device in a single copy."""
    batch = np.asarray(planes, PLANES)
    raw = torch.from_numpy(batch.view(np.uint8).reshape(len(batch), PLANES.itemsize)).to(device)
    arrays = {name: _take(raw, name).reshape(len(batch), *PLANES[name].shape) for name in _ARRAYS}
    return PlaneBatch(arrays, _take(raw, "numbers").contiguous().view(torch.int64))


def _take(raw: Tensor, name: str) -> Tensor:
    """Return the bytes of one field, (B, n), as a view."""
    fields = PLANES.fields
    assert fields is not None
    kind, offset = fields[name][:2]
    return raw[:, offset : offset + kind.itemsize]


def compute(batch: PlaneBatch) -> Streams:
    """Compute the eight streams of a batch."""
    arrays = batch.arrays
    count = dict(zip(NUMBERS, batch.numbers.unbind(1), strict=True))
    alpha = _pack(arrays["alpha"], count["alpha_count"])
    lsb = _pack(arrays["rgb"], count["rgb_count"])
    palette_lsb = _pack(arrays["index"], count["index_count"])
    comment = _tokens(arrays["user_comment"], count["user_comment_size"])
    text = _tokens(arrays["comment_text"], count["comment_text_size"])
    trailing = _tokens(arrays["trailing"], count["trailing_size"])
    end = _tokens(_backwards(arrays["trailing"], count["trailing_size"]), count["trailing_size"].clamp(max=TAIL_BYTES))
    tokens = torch.stack(
        [comment, text, trailing, end, alpha[:, 0], lsb[:, 0], lsb[:, 1], palette_lsb[:, 0], palette_lsb[:, 1]], dim=1
    )
    present = tokens[:, :, 0] != PADDING
    return Streams(
        pixel=arrays["pixel"].permute(0, 3, 1, 2).float() / 127.5 - 1.0,
        meta=tokens[:, :4],
        alpha=tokens[:, 4:5],
        lsb=tokens[:, 5:7],
        palette=arrays["palette"].float() / 255.0,
        palette_lsb=tokens[:, 7:],
        format=_format(count),
        content=_content(tokens, present, count),
        pairs=pair_statistics(arrays, count),
        present=present,
    )


def _content(tokens: Tensor, present: Tensor, count: dict[str, Tensor]) -> Tensor:
    """Return the statistics (B, 9, CONTENT_FEATURES) of each sequence, 0 where it is absent."""
    features = torch.zeros(*present.shape, CONTENT_FEATURES, device=tokens.device)
    rows = tokens[present]
    if rows.shape[0] == 0:
        return features
    pixels = count["width"] * count["height"]
    in_file = (count["user_comment_size"], count["comment_text_size"], count["trailing_size"], count["trailing_size"])
    held = [pixels * samples // 8 for samples in _ROOM_OF_SLOTS[len(in_file) :]]
    room = torch.stack([*in_file, *held], dim=1)[present].double()
    start, length = find_longest_run(rows)
    parts = (
        byte_statistics(rows),
        run_statistics(rows, room, start, length),
        length_statistics(rows, room),
        signature_statistics(rows, start),
        stuffing_statistics(rows),
    )
    features[present] = torch.cat(parts, dim=1)
    return features


def lead(streams: Streams, widths: Mapping[str, int]) -> Streams:
    """Return the streams with those in `widths` cut to that many numbers, as an earlier release computed them."""
    return replace(streams, **{name: getattr(streams, name)[..., :width] for name, width in widths.items()})


def match_inputs(inputs: Mapping[str, str]) -> Mapping[str, int] | None:
    """Return the widths with which `lead` makes the `inputs` of a model; None if there are none."""
    whole = describe_inputs()
    for widths in ({}, *EARLIER_WIDTHS):
        earlier = {name: re.sub(r"\d+\]$", f"{width}]", whole[name]) for name, width in widths.items()}
        if inputs == {**whole, **earlier}:
            return widths
    return None


@cache
def describe_inputs() -> dict[str, str]:
    """Return type and shape, without the batch, of each of `INPUTS`, as in a model card: `int32 [2, 1024]`."""
    streams = compute(stack([extract_planes(Image.new("L", (1, 1)), b"")]))
    tensors = {name: getattr(streams, name) for name in INPUTS}
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape[1:])}" for name, tensor in tensors.items()
    }


def _pack(samples: Tensor, count: Tensor) -> Tensor:
    """Pack the least significant bits of (B, 8192) samples as (B, 2, 1024) tokens: first LSB-first, then MSB-first."""
    tokens = _absent(len(samples), 2, samples.shape[1] // 8, device=samples.device)
    rows = count.nonzero()[:, 0]
    # Eight bytes of 0 or 1 as one integer: the multiplication collects their bits in its highest byte.
    eights = (samples[rows] & 1).view(torch.int64)
    lsb_first = (eights * _GATHER_LSB_FIRST >> 56 & 255).to(torch.int32)
    msb_first = _reversed_bits(samples.device)[lsb_first]
    tokens[rows] = _padded(torch.stack([lsb_first, msb_first], dim=1), (count[rows] // 8)[:, None, None])
    return tokens


@cache
def _reversed_bits(device: torch.device) -> Tensor:
    """Return (256,) int32: each byte with its bits reversed."""
    return torch.tensor([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], dtype=torch.int32, device=device)


def _tokens(values: Tensor, count: Tensor) -> Tensor:
    tokens = _absent(*values.shape, device=values.device)
    rows = count.nonzero()[:, 0]
    tokens[rows] = _padded(values[rows].to(torch.int32), count[rows][:, None])
    return tokens


def _absent(*shape: int, device: torch.device) -> Tensor:
    return torch.full(shape, PADDING, dtype=torch.int32, device=device)


def _backwards(values: Tensor, size: Tensor) -> Tensor:
    """Return (B, 1024) bytes in reverse order, of which only the first `TAIL_BYTES` are valid."""
    last = size.clamp(max=TEXT_BYTES)[:, None] - 1
    return values.gather(1, (last - torch.arange(TEXT_BYTES, device=values.device)).clamp(min=0))


def _padded(values: Tensor, count: Tensor) -> Tensor:
    position = torch.arange(values.shape[-1], device=values.device)
    return values.masked_fill(position >= count, PADDING)


def _format(count: dict[str, Tensor]) -> Tensor:
    mode = functional.one_hot(count["mode"], len(MODES))
    container = functional.one_hot(count["container"], len(CONTAINERS))
    sizes = torch.stack([count[name].clamp(max=limit) for name, limit in _LARGEST.items()], dim=1).float()
    has = (sizes[:, [1, 3, 4, 5, 6]] > 0).float()
    parts = [mode.float(), container.float(), torch.log2(1.0 + sizes) / 16.0, has, _declarations(count)]
    return torch.cat(parts, dim=1)


def _declarations(count: dict[str, Tensor]) -> Tensor:
    """Return (B, 8): what the file declares about its trailing bytes, and how much of them that explains."""
    bits = torch.arange(_DECLARATIONS, device=count["declarations"].device)
    flags = (count["declarations"][:, None] >> bits & 1).float()
    trailing, declared = count["trailing_size"].float(), count["declared_size"].float()
    numbers = [
        torch.log2(1.0 + count["same_start"].float()) / 10.0,
        declared / trailing.clamp(min=1.0),
        ((declared > 0) & (declared >= trailing - 64.0)).float(),
        torch.log2(1.0 + trailing) / 32.0,
    ]
    return torch.cat([flags, torch.stack(numbers, dim=1)], dim=1)
