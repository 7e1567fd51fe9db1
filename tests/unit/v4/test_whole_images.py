"""A payload is found at the first pixels of a picture of any size."""

import numpy as np
import pytest
from PIL import Image

from research.stego.drawn import draw_picture
from tests.kit.pictures import decode, encode
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector, Score
from worker.v4.embedding import embed_lsb, embed_palette
from worker.v4.planes import extract_planes


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT_MODEL)


def score(detector: Detector, image: Image.Image) -> Score:
    data = encode(image, "PNG", compress_level=0)
    return detector.score([extract_planes(decode(data), data)])[0]


@pytest.mark.parametrize("size", [(24, 24), (64, 48), (4000, 3000)])
@pytest.mark.parametrize("bit_order", ["lsb-first", "msb-first"])
def test_sixteen_bytes_in_lsb_are_found(detector: Detector, size: tuple[int, int], bit_order: str) -> None:
    cover = draw_picture(np.random.default_rng(1), "photo", (64, 48)).resize(size, Image.Resampling.NEAREST)
    found = score(detector, embed_lsb(cover, b"Meet me at seven", bit_order))
    assert (found.method, found.bit_order) == ("lsb.rgb", bit_order)
    assert not score(detector, cover).is_stego


@pytest.mark.parametrize("size", [(24, 24), (64, 48), (1000, 800)])
@pytest.mark.parametrize("bit_order", ["lsb-first", "msb-first"])
def test_sixteen_bytes_in_indices_are_found(detector: Detector, size: tuple[int, int], bit_order: str) -> None:
    cover = draw_picture(np.random.default_rng(1), "photo", (64, 48)).quantize(128)
    cover = cover.resize(size, Image.Resampling.NEAREST)
    found = score(detector, embed_palette(cover, b"Meet me at seven", bit_order))
    assert (found.method, found.bit_order) == ("palette", bit_order)
    assert not score(detector, cover).is_stego
