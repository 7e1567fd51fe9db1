"""Validation: its intervals, its figures, and the committed report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from research.evaluation.ablation import ablate, without
from research.evaluation.command import figures as choose_figures
from research.evaluation.cost import measure_cost
from research.evaluation.intervals import binomial_cdf, calibration, clopper_pearson
from research.evaluation.report import build_report, choose_threshold
from research.evaluation.trials import Case, decide, run_trials
from research.stego.corpus import find_images
from research.stego.samples import Sample
from tests.kit.pictures import draw_noise, encode
from worker.v4.card import DEFAULT_MODEL, read_card
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes
from worker.v4.streams import INPUTS, compute, stack
from worker.v4.utf8 import PADDING

REPORT = Path(__file__).parents[3] / "results" / "validation_report.json"


# Reference values from scipy.stats.binomtest(hits, trials).proportion_ci(method="exact").
@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.308497),
        (1, 10, 0.002529, 0.445016),
        (5, 10, 0.187086, 0.812914),
        (10, 10, 0.691503, 1.0),
        (0, 2510, 0.0, 0.001469),
    ],
)
def test_clopper_pearson(hits: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, trials) == pytest.approx((low, high), abs=2e-6)


def test_clopper_pearson_without_trials_knows_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_binomial_cdf_from_either_side() -> None:
    assert binomial_cdf(1, 3, 0.5) == pytest.approx(0.5)
    assert binomial_cdf(2, 3, 0.5) == pytest.approx(0.875)
    assert binomial_cdf(3, 3, 0.5) == 1.0


def test_calibration_error_of_known_bins() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    error, bins = calibration(probabilities, np.array([False, False, True, False]), bins=2)
    assert error == pytest.approx(0.5 * 0.1 + 0.5 * 0.4)
    assert [entry["count"] for entry in bins] == [2, 2]


def test_a_validation_counts_every_image_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encode(draw_noise("RGB", seed=number), "PNG"))
    detector = Detector.load(DEFAULT_MODEL)
    pytest.importorskip("py7zr", reason="an extra of research")
    trials = [decide(trial, 0.5) for trial in run_trials(detector, find_images(tmp_path), 1, limit=None, drawn=5)]
    report = build_report(detector.model, trials, 3, seed=1)
    assert report["false_positives"]["untouched"]["of"] == 3
    assert report["false_positives"]["drawn"]["of"] == 5
    assert report["false_positives"]["cut"]["of"] == sum(trial.group == "cut" for trial in trials) > 0
    assert report["detection"]["text"]["of"] == 15
    assert sum(entry["count"] for entry in report["calibration"]["bins"]) == len(trials)
    writers = report["writers"]
    rows = [*(row for rows in writers["pixels"].values() for row in rows.values()), *writers["tails"].values()]
    wild = [trial for trial in trials if trial.group in ("wild", "tail") and trial.method is not None]
    assert sum(row["found"]["of"] for row in rows) == len(wild)
    assert sum(row["of"] for row in writers["harmless"].values()) == 2 * 3
    cells = [
        cell
        for methods in report["by_size_and_noise"].values()
        for grid in methods.values()
        for sizes in grid.values()
        for cell in sizes.values()
    ]
    assert sum(cell["of"] for cell in cells) == sum(trial.method is not None for trial in trials)
    again = list(run_trials(detector, find_images(tmp_path), 1, limit=2, drawn=0))
    assert sum(trial.group == "untouched" for trial in again) == 2
    threshold = choose_threshold(trials, share=0.0)
    assert not any(trial.score.stego_probability >= threshold for trial in trials if trial.method is None)


def test_the_committed_report_is_about_the_committed_weights() -> None:
    report, card = json.loads(REPORT.read_text()), read_card(DEFAULT_MODEL)
    assert report["model"]["sha256"] == card.sha256
    assert report["model"]["version"] == card.version
    assert report["model"]["threshold"] == card.threshold
    assert choose_figures(report) == card.figures


@pytest.mark.parametrize("name", INPUTS)
def test_a_stream_is_taken_away(name: str) -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x86\x92\x07\x00\x04\x00\x00\x00text\x00\x00\x00\x00"
    data = encode(draw_noise("P"), "PNG", exif=exif) + b"tail"
    whole = compute(stack([extract_planes(draw_noise(mode, seed=3), data) for mode in ("RGBA", "P")]))
    fewer = without(whole, name)
    absent = 0 if getattr(whole, name).dtype == torch.float32 else PADDING
    assert getattr(fewer, name).eq(absent).all()
    assert not getattr(whole, name).eq(absent).all()
    for other in INPUTS:
        if other not in (name, "content"):
            assert torch.equal(getattr(whole, other), getattr(fewer, other))


def test_ablation_states_all_streams_and_each() -> None:
    cases = [Case("twin", "", "", Sample(b"", "twin"), (), extract_planes(draw_noise("RGB"), b""))]
    figures = ablate(Detector.load(DEFAULT_MODEL), cases)
    assert set(figures) == {"none", *INPUTS}


def test_costs_are_measured() -> None:
    costs = measure_cost(Detector.load(DEFAULT_MODEL), repeats=1)["by_mode"]
    assert all(cost["v4"] == pytest.approx(cost["planes"] + cost["score"], abs=0.01) for cost in costs.values())
