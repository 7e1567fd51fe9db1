"""Labelled examples with the inputs of all approaches: planes, the picture, the payload."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.stego.corpus import open_image
from research.stego.pairs import SPECIFICATION
from research.stego.sample_source import SampleSource
from research.stego.samples import Sample
from research.training.shards import CLEAN, class_ids
from starlight_vocabulary.words import METHODS
from worker.v4.planes import PlaneArray, extract_planes

Bytes = NDArray[np.uint8]
Rng: TypeAlias = np.random.Generator

SIDE: Final = 256
"""Side in pixels up to which a picture is seen whole; of larger ones, the upper left piece is seen."""
GROUPS: Final = ("text, by the specification", "text, by other writers", "ciphertext and files")
"""Kinds of payloads, in the order of their class ids."""


@dataclass(frozen=True, slots=True)
class Examples:
    """N examples.

    `planes` are V4's. Each of `pictures` (4, H, W) uint8 has R, G, B (or three times grey or index) and alpha, 0 where
    there is none; H and W are at most `SIDE`. `method` and `group` are class ids (N,) or `CLEAN`; `order` has class ids
    of the bit order; `payload` is what was hidden, empty for clean images.
    """

    planes: PlaneArray
    pictures: list[Bytes]
    method: NDArray[np.int64]
    order: NDArray[np.int64]
    group: NDArray[np.int64]
    payload: list[bytes]

    def __len__(self) -> int:
        return len(self.method)

    @property
    def is_clean(self) -> NDArray[np.bool_]:
        """Whether each example is clean, (N,)."""
        clean: NDArray[np.bool_] = self.method == CLEAN
        return clean

    def pick(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "Examples":
        """Return the examples of these rows."""
        numbers = np.arange(len(self))[rows]
        return Examples(
            self.planes[numbers],
            [self.pictures[number] for number in numbers],
            self.method[numbers],
            self.order[numbers],
            self.group[numbers],
            [self.payload[number] for number in numbers],
        )


def draw_examples(source: SampleSource, seed: int, count: int) -> Examples:
    """Draw `count` examples; each stego image is followed by its twin, except perhaps the last one."""
    rng = np.random.default_rng([seed, 0])
    return collect(_draw(source, rng), count)


def collect(samples: Iterator[tuple[Sample, Image.Image]], count: int) -> Examples:
    """Make examples of the first `count` samples and their opened images."""
    planes = np.zeros(count, extract_planes(Image.new("L", (1, 1)), b"").dtype)
    pictures, labels, payload = [], [], []
    for number in range(count):
        sample, image = next(samples)
        extract_planes(image, sample.data, planes[number])
        pictures.append(take_picture(image))
        labels.append((*class_ids(sample), _find_group(sample)))
        payload.append(sample.payload)
    method, order, group = np.array(labels, np.int64).reshape(count, 3).T
    return Examples(planes, pictures, method, order, group, payload)


def take_picture(image: Image.Image) -> Bytes:
    """Return the samples (4, H, W) of a picture, or of its upper left piece if it is larger than `SIDE`."""
    piece = image.crop((0, 0, min(SIDE, image.width), min(SIDE, image.height)))
    if piece.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA"):
        piece = piece.convert("RGB")
    samples = np.asarray(piece, np.uint8).reshape(piece.height, piece.width, -1)
    has_alpha = piece.mode in ("LA", "PA", "RGBA")
    colours = samples[:, :, :-1] if has_alpha else samples
    taken = np.zeros((4, piece.height, piece.width), np.uint8)
    taken[:3] = np.broadcast_to(colours, (*colours.shape[:2], 3)).transpose(2, 0, 1)
    if has_alpha:
        taken[3] = samples[:, :, -1]
    return taken


def select(examples: Examples, method: int, group: int) -> NDArray[np.bool_]:
    """Return whether each example has this method and group, (N,)."""
    chosen: NDArray[np.bool_] = (examples.method == method) & (examples.group == group)
    return chosen


def _draw(source: SampleSource, rng: Rng) -> Iterator[tuple[Sample, Image.Image]]:
    while True:
        for sample in source.draw(rng):
            try:
                image = open_image(sample.data)
            except (OSError, ValueError):
                continue
            yield sample, image


def _find_group(sample: Sample) -> int:
    if sample.method is None:
        return CLEAN
    if sample.binary:
        return 2
    return 0 if sample.writer == SPECIFICATION else 1


Score: TypeAlias = Callable[[Examples], NDArray[np.float64]]
"""A trained detector: maps examples to scores (N,); a higher score means more likely stego."""

PIXEL_METHODS: Final = tuple(METHODS.index(name) for name in ("alpha", "palette", "lsb.rgb"))
"""Class ids of the methods that hide in samples."""
