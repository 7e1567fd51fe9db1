"""Training examples in shards, made by another process during training; the same seed gives the same examples."""

import multiprocessing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Final

import numpy as np
from numpy.typing import NDArray

from research.stego.corpus import Corpus, find_images
from research.stego.pairs import SPECIFICATION
from research.stego.planes import take_planes
from research.stego.sample_source import SampleSource
from research.stego.samples import Sample
from starlight_vocabulary.words import BIT_ORDERS, METHODS

CLEAN: Final = -1
"""Class id of a clean image's method."""
UNKNOWN: Final = -100
"""Class id of a bit order that cannot be determined; torch's cross entropy ignores this value."""


@dataclass(frozen=True, slots=True)
class Shard:
    """N examples: their planes, and (N,) int64 class ids of method (or `CLEAN`) and bit order (or `UNKNOWN`)."""

    planes: list[np.void]
    method: NDArray[np.int64]
    order: NDArray[np.int64]


def make_shard(source: SampleSource, seed: int, number: int, size: int) -> Shard:
    """Make shard `number` of a seed, independently of other shards."""
    rng = np.random.default_rng([seed, number])
    planes: list[np.void] = []
    labels: list[tuple[int, int]] = []
    while len(planes) < size:
        for sample in source.draw(rng):
            try:
                planes.append(take_planes(sample.data, is_cut=sample.is_cut))
            except (OSError, ValueError):
                continue
            labels.append(class_ids(sample))
    method, order = np.array(labels[:size], np.int64).T
    return Shard(planes[:size], method, order)


def class_ids(sample: Sample) -> tuple[int, int]:
    """Return the class ids of a sample's method and bit order."""
    if sample.method is None or sample.bit_order is None:
        return CLEAN, UNKNOWN
    # Ciphertext read in the wrong bit order looks the same.
    is_unknown = sample.binary and sample.method in ("lsb.rgb", "palette") and sample.writer == SPECIFICATION
    return METHODS.index(sample.method), UNKNOWN if is_unknown else BIT_ORDERS.index(sample.bit_order)


def stream_shards(folder: Path, seed: int, size: int, ahead: int = 3) -> Iterator[Shard]:
    """Yield shards 0, 1, 2, … of a corpus without end; another process makes up to `ahead` shards in advance."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Shard] = context.Queue(maxsize=ahead)
    maker = context.Process(target=_make_shards, args=(find_images(folder), seed, size, queue), daemon=True)
    maker.start()
    try:
        while True:
            try:
                yield queue.get(timeout=60.0)
            except Empty:
                if not maker.is_alive():
                    raise RuntimeError(f"the process that makes examples ended with code {maker.exitcode}") from None
    finally:
        maker.terminate()
        maker.join()


def _make_shards(corpus: Corpus, seed: int, size: int, queue: "multiprocessing.Queue[Shard]") -> None:
    warnings.simplefilter("ignore")
    source = SampleSource(corpus)
    number = 0
    while True:
        queue.put(make_shard(source, seed, number, size))
        number += 1
