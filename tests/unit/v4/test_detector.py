"""The detector and its model folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from starlight_vocabulary.words import BIT_ORDERS, METHODS
from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.card import CARD_FILE, DEFAULT_MODEL, ModelError, read_card
from worker.v4.detector import Detector
from worker.v4.network import Heads, soft_or
from worker.v4.planes import extract_planes
from worker.v4.streams import Streams


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT_MODEL)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "model"))


@pytest.fixture(scope="module")
def planes() -> list[np.void]:
    modes = ("RGB", "P", "RGBA", "LA", "1", "L", "CMYK")
    images = [draw_noise(mode, 8 + 11 * seed, 9 + 7 * seed, seed) for seed, mode in enumerate(modes * 6)]
    data = encode(draw_noise("RGB"), "PNG") + b"and more\x00"
    return [*(extract_planes(image, b"") for image in images), extract_planes(decode(data), data)]


def test_a_score_does_not_depend_on_the_batch(detector: Detector, planes: list[np.void]) -> None:
    together = detector.score(planes)
    reversed_batch = detector.score(planes[::-1])[::-1]
    for position, alone in enumerate(planes):
        probability = detector.score([alone])[0].stego_probability
        assert probability == pytest.approx(together[position].stego_probability, abs=1e-5)
        assert probability == pytest.approx(reversed_batch[position].stego_probability, abs=1e-5)


def test_an_empty_batch_has_no_scores(detector: Detector) -> None:
    assert detector.score([]) == []


def test_thresholds_decide_and_method_is_named_for_stego_alone(detector: Detector, planes: list[np.void]) -> None:
    always, never, own = (detector.score(planes, [limit] * len(planes)) for limit in (0.0, 1.1, None))
    assert own == detector.score(planes)
    for stego, clean in zip(always, never, strict=True):
        assert stego.is_stego
        assert stego.method in METHODS
        assert stego.bit_order in BIT_ORDERS
        assert not clean.is_stego
        assert (clean.method, clean.bit_order) == (None, None)
        assert clean.stego_probability == stego.stego_probability
        assert clean.confidence == max(clean.stego_probability, 1 - clean.stego_probability)


def test_the_model_knows_its_digest(detector: Detector) -> None:
    assert detector.model == read_card(DEFAULT_MODEL)
    assert (DEFAULT_MODEL / detector.model.weights).stat().st_size < 10_000_000


def test_weights_with_a_wrong_digest_are_refused(model: Path) -> None:
    weights = model / read_card(model).weights
    blob = bytearray(weights.read_bytes())
    blob[-1] ^= 1
    weights.write_bytes(blob)
    with pytest.raises(ModelError, match=r"SHA-256 is [0-9a-f]{64}, the card says"):
        Detector.load(model)


def test_missing_weights_are_refused(model: Path) -> None:
    (model / read_card(model).weights).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        Detector.load(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "'threshold' must be a number between 0 and 1"),
        ({"threshold": True}, "'threshold' must be a number between 0 and 1"),
        ({"name": ""}, "'name' must be a non-empty string"),
        ({"sha256": "abc"}, "sha256 is not 64 lower-case hex digits"),
        ({"weights": "../model.safetensors"}, "weights must be a file name within the folder"),
        ({"methods": ["lsb.rgb"]}, "methods and bit_orders must be"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(model: Path, change: dict[str, object], message: str) -> None:
    card = json.loads((model / CARD_FILE).read_text()) | change
    (model / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=message):
        read_card(model)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000], ids=["nothing", "a list", "cut", "deep"])
def test_a_card_that_is_no_json_object_is_refused(model: Path, text: str) -> None:
    (model / CARD_FILE).write_text(text)
    with pytest.raises(ModelError):
        read_card(model)


def test_soft_or_is_the_logit_of_any() -> None:
    logits = torch.tensor([[-2.0, 0.5, -30.0], [-30.0, -30.0, -30.0], [40.0, 80.0, -1.0]], dtype=torch.float64)
    expected = 1 - (1 - torch.sigmoid(logits)).prod(1)
    assert torch.allclose(torch.sigmoid(soft_or(logits)), expected)
    assert torch.isfinite(soft_or(torch.tensor([[-200.0, -200.0], [500.0, 500.0]]))).all()


def test_an_answer_that_is_not_a_number_is_no_verdict() -> None:
    def broken(streams: Streams) -> Heads:
        count = streams.present.shape[0]
        return Heads(torch.full((count,), torch.nan), torch.zeros(count, 5), torch.zeros(count, 3))

    detector = Detector(broken, read_card(DEFAULT_MODEL))

    with pytest.raises(ArithmeticError, match="not finite"):
        detector.score([extract_planes(draw_noise("RGB"), b"")])
