"""The sample images: they can be reproduced, and V4's verdict on each is right."""

from pathlib import Path

import pytest

from research.stego.sample_set import make_samples
from starlight_vocabulary.words import METHODS
from tests.kit.pictures import decode
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.extraction import read_payload
from worker.v4.planes import extract_planes

FOLDER = Path(__file__).parents[3] / "samples"
NAMES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT_MODEL)


def test_samples_are_drawn_alike_each_time() -> None:
    first, second = dict(make_samples()), dict(make_samples())
    assert first == second
    assert sorted(first) == NAMES
    assert sum(map(len, first.values())) < 1_000_000


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("broken")])
def test_v4_is_right_about_each_sample(detector: Detector, name: str) -> None:
    data = (FOLDER / name).read_bytes()
    image = decode(data)
    score = detector.score([extract_planes(image, data)])[0]
    assert score.is_stego == name.startswith("stego"), score
    if score.is_stego:
        method = next(method for method in METHODS if name.startswith(f"stego-{method}-"))
        assert score.method == method
        orders = [order for order in ("lsb-first", "msb-first") if order in name]
        assert score.bit_order == (orders[0] if orders else "lsb-first" if method == "alpha" else "none")
        payload = read_payload(image, data, score.method, score.bit_order).payload
        if "archive" in name:
            assert payload.kind == "zip"
            assert [member.name for member in payload.listing or ()] == ["plan.txt"]
        else:
            assert payload.kind == "text"
            assert payload.text is not None
            assert len(payload.text) > 20


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("broken")])
def test_broken_samples_are_broken(name: str) -> None:
    with pytest.raises(OSError, match=r"truncated|cannot identify"):
        decode((FOLDER / name).read_bytes())
