"""A short training: the loss falls, and the same seed gives the same weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from research.stego.samples import SampleSource
from research.training.loop import Schedule, calibrate, losses, train
from research.training.model_files import load_network, update_card, write_model
from research.training.shards import Shard, make_shard
from worker.v4.card import read_card
from worker.v4.detector import Detector
from worker.v4.network import Network, Sizes
from worker.v4.streams import compute, stack

SMALL = Sizes(embedding=4, first=8, channels=8, head_bytes=16, sequence=16, evidence=16, context=8)


@pytest.fixture(scope="module")
def shards() -> list[Shard]:
    source = SampleSource(None)
    return [make_shard(source, seed=1, number=number, size=64) for number in range(3)]


def compute_loss(network: Network, shard: Shard) -> float:
    with torch.inference_mode():
        heads = network(compute(stack(shard.planes)))
        return float(losses(heads, torch.from_numpy(shard.method), torch.from_numpy(shard.order)))


def train_network(shards: list[Shard], steps: int) -> Network:
    torch.manual_seed(1)
    schedule = Schedule(steps, batch=32, steps_per_shard=steps, pool=1000, peak_rate=0.01, average=0.5)
    return train(Network(SMALL), iter(shards[:1]), schedule, seed=1)


def test_the_loss_falls(shards: list[Shard]) -> None:
    torch.manual_seed(1)
    before = compute_loss(Network(SMALL), shards[0])
    assert compute_loss(train_network(shards, 30), shards[0]) < 0.85 * before


def test_the_same_seed_gives_the_same_weights(shards: list[Shard]) -> None:
    one, two = (train_network(shards, 4).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_calibration_makes_probabilities_as_frequent_as_they_say(shards: list[Shard]) -> None:
    network = train_network(shards, 10)

    def endless() -> Iterator[Shard]:
        yield from shards

    calibrate(network, endless(), 3)
    with torch.inference_mode():
        probability = torch.cat([torch.sigmoid(network(compute(stack(shard.planes))).stego) for shard in shards])
    share = np.concatenate([shard.method for shard in shards]) >= 0
    assert float(probability.mean()) == pytest.approx(float(share.mean()), abs=0.02)


def test_a_written_model_is_loaded_as_it_was(shards: list[Shard], tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = Network().eval()
    card = write_model(tmp_path, network, "test", "1.2.3", 0.25)
    assert read_card(tmp_path) == card
    detector = Detector.load(tmp_path)
    planes = shards[0].planes[:5]
    with torch.inference_mode():
        expected = torch.sigmoid(network(compute(stack(planes))).stego).tolist()
    assert [score.stego_probability for score in detector.score(planes)] == pytest.approx(expected, abs=1e-6)
    assert update_card(tmp_path, 0.75, {"note": 1}).threshold == read_card(tmp_path).threshold == 0.75
    assert torch.equal(load_network(tmp_path).encoder.first, network.encoder.first)
