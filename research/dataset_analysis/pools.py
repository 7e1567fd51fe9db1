"""Describes each cover of a corpus three times for a quick detector: as published, with a payload, and as its twin.

The quick detector is `alternative_architectures.boosting`, which trains in seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from research.alternative_architectures.boosting import describe_streams
from research.stego.corpus import Corpus, open_image
from research.stego.planes import take_planes
from research.stego.sample_source import SampleSource
from starlight_vocabulary.words import METHODS

UNTOUCHED: Final = "untouched"
STEGO: Final = "stego"
TWIN: Final = "twin"
KINDS: Final = (UNTOUCHED, STEGO, TWIN)
_TOGETHER: Final = 512


@dataclass(frozen=True, slots=True)
class Pool:
    """N examples, made of C covers.

    `features` (N, F) are the detector's input; `kind` (N,) are positions in `KINDS`; `cover` (N,) is the number of the
    cover, 0 to C - 1; `source` (C,) is the number of each cover's source in `sources`; `paths` has the C files.
    """

    features: NDArray[np.float32]
    kind: NDArray[np.int64]
    cover: NDArray[np.int64]
    source: NDArray[np.int64]
    sources: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def is_stego(self) -> NDArray[np.bool_]:
        """Whether each example is stego, (N,)."""
        stego: NDArray[np.bool_] = self.kind == KINDS.index(STEGO)
        return stego

    def find_rows(self, covers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the examples that are made of these covers."""
        chosen = np.zeros(len(self.source), bool)
        chosen[covers] = True
        return np.flatnonzero(chosen[self.cover])


def make_pool(corpus: Corpus, seed: int) -> Pool:
    """Make a pool of all images that can be opened; the methods are equally likely.

    An image has no stego example if a payload of four bytes does not fit into the piece of it that is drawn. The
    examples of an image depend on `seed` and its place in the corpus only.
    """
    names = tuple(corpus.sources)
    chosen = [(names.index(name), path) for name, paths in corpus.sources.items() for path in paths]
    features: list[NDArray[np.float32]] = []
    labels: list[tuple[int, int]] = []
    opened: list[tuple[int, Path]] = []
    for group in _in_groups(chosen, _TOGETHER):
        planes: list[np.void] = []
        for source, path in group:
            made = list(_make_examples(path, seed, len(opened)))
            if made:
                labels += [(KINDS.index(kind), len(opened)) for kind, _ in made]
                planes += [each for _, each in made]
                opened.append((source, path))
        if planes:
            features.append(describe_streams(np.array(planes)))
    kind, cover = np.array(labels, np.int64).reshape(-1, 2).T
    return Pool(
        np.concatenate(features),
        kind,
        cover,
        np.array([source for source, _ in opened], np.int64),
        names,
        tuple(path for _, path in opened),
    )


def _make_examples(path: Path, seed: int, number: int) -> Iterator[tuple[str, np.void]]:
    """Yield the kinds and planes of the examples of one image; nothing if it cannot be opened."""
    data = path.read_bytes()
    try:
        open_image(data)
        yield UNTOUCHED, take_planes(data)
    except (OSError, ValueError):
        return
    rng = np.random.default_rng([seed, number])
    source = SampleSource(Corpus({"": (path,)}), drawn_share=0.0)
    for sample in source.draw_pair(rng, METHODS[rng.integers(len(METHODS))]):
        # Where a payload does not fit, a drawn picture comes instead, which is of no source.
        kind = TWIN if sample.kind == TWIN else STEGO
        if kind == TWIN or sample.method is not None:
            yield kind, take_planes(sample.data)


def _in_groups(values: Sequence[tuple[int, Path]], size: int) -> Iterator[Sequence[tuple[int, Path]]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
