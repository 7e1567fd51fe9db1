"""A short training: the loss falls, and the same seed gives the same weights."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from research.stego.sample_source import SampleSource
from research.training import command
from research.training.encoded import encode, train_evidence
from research.training.loop import Schedule, calibrate, losses, mix, train
from research.training.model_files import WEIGHTS_FILE, load_network, update_card, widen, write_card, write_model
from research.training.shards import Shard, make_shard
from tests.kit.pictures import draw_noise
from tests.kit.pictures import encode as encode_picture
from worker.v4.card import read_card
from worker.v4.detector import Detector
from worker.v4.network import Network, Sizes
from worker.v4.streams import EARLIER_WIDTHS, compute, describe_inputs, lead, stack

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


def train_kept(shards: list[Shard], steps: int) -> Network:
    torch.manual_seed(1)
    schedule = Schedule(steps, batch=32, steps_per_shard=steps, pool=1000, peak_rate=0.01, average=0.5)
    return train_evidence(Network(SMALL), iter(shards[:1]), schedule, seed=1)


def test_what_is_kept_is_kept_and_the_rest_learns(shards: list[Shard]) -> None:
    torch.manual_seed(1)
    start = Network(SMALL)
    one, two = (train_kept(shards, 20) for _ in range(2))
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    assert all(
        torch.equal(kept, before)
        for kept, before in zip(one.encoder.convolved(), start.encoder.convolved(), strict=True)
    )
    assert compute_loss(one, shards[0]) < 0.9 * compute_loss(start, shards[0])


def test_encoded_examples_are_judged_as_whole_ones(shards: list[Shard]) -> None:
    torch.manual_seed(1)
    network = Network(SMALL).eval()
    encoded = encode(network, shards[0])
    with torch.inference_mode():
        whole = network(compute(stack(shards[0].planes)))
        streams = dataclasses.replace(
            encoded.streams,
            **{name: getattr(encoded.streams, name).int() for name in ("meta", "alpha", "lsb", "palette_lsb")},
        )
        judged = network.judge(streams, encoded.pooled.float()[streams.present])
    assert torch.allclose(whole.stego, judged.stego, atol=0.02)


def test_the_command_builds_the_same_weights_again(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encode_picture(draw_noise("RGB", 80, 80, seed=number), "PNG"))
    torch.manual_seed(4)
    write_model(tmp_path / "initial", Network(), "test", "0.0.0", 0.5)
    given = f"--corpus {tmp_path} --seed 3 --steps 4 --steps-per-shard 2 --shard 16 --keep-convolutions"
    for run in ("first", "second"):
        command.main([*given.split(), "--initial", str(tmp_path / "initial"), "--out", str(tmp_path / run)])
    assert (tmp_path / "first" / WEIGHTS_FILE).read_bytes() == (tmp_path / "second" / WEIGHTS_FILE).read_bytes()


def test_a_mixture_is_the_mean_of_the_weights() -> None:
    torch.manual_seed(5)
    networks = [Network() for _ in range(3)]
    name = "evidence.0.0.weight"
    first, second, own = (dict(network.named_parameters())[name].clone() for network in networks)

    mixed = dict(mix(networks[2], [(networks[0], 0.5), (networks[1], 0.2)]).named_parameters())[name]

    assert torch.allclose(mixed, 0.5 * first + 0.2 * second + 0.3 * own, atol=1e-6)


@pytest.mark.parametrize("widths", EARLIER_WIDTHS)
def test_a_model_of_an_earlier_release_scores_as_it_did_and_is_learnt_on(
    shards: list[Shard], tmp_path: Path, widths: dict[str, int]
) -> None:
    torch.manual_seed(3)
    sizes = dataclasses.replace(Sizes(), **widths)
    network = Network(sizes).eval()
    write_model(tmp_path, network, "earlier", "1.0.0", 0.5)
    inputs = dict(describe_inputs())
    for name, width in widths.items():
        inputs[name] = inputs[name].rsplit(" ", 1)[0] + f" {width}]" if "," in inputs[name] else f"float32 [{width}]"
    write_card(tmp_path, dataclasses.replace(read_card(tmp_path), inputs=inputs))

    streams = compute(stack(shards[0].planes[:16]))
    with torch.inference_mode():
        expected = network(lead(streams, widths)).stego
        grown = load_network(tmp_path).eval()
        assert torch.allclose(grown(streams).stego, expected, atol=1e-4)
    scores = Detector.load(tmp_path).score(shards[0].planes[:16])
    assert [score.stego_probability for score in scores] == pytest.approx(torch.sigmoid(expected).tolist(), abs=1e-5)
    assert widen(network.state_dict(), sizes)["context.join.0.weight"].shape == grown.context.join[0].weight.shape
