"""Ways of the benchmark: those whose library is missing are skipped with a line; rates and ratios of the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from research.benchmark import compared_apis, optional
from research.benchmark.compared_apis import ComparedApi, run_compared_apis
from research.benchmark.file_by_file import FileByFile
from research.benchmark.pictures import draw_images
from research.benchmark.plot import WAYS, draw_plot
from research.benchmark.ray_data import Scanner, find_ray_data
from research.benchmark.serving import CLIENTS, summarise
from research.benchmark.throughput import alternate
from worker.devices import Device


@pytest.fixture
def nothing_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)


@pytest.mark.usefixtures("nothing_optional")
def test_ray_data_is_skipped_with_a_line_where_it_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert find_ray_data(Device("cpu", 0)) is None

    assert capsys.readouterr().err == (
        "bench: Ray Data is not compared: it is not installed (pip install 'ray[data]')\n"
    )


@pytest.mark.usefixtures("nothing_optional")
def test_litserve_is_skipped_with_a_line_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def run_nothing(count: int) -> Iterator[ComparedApi]:
        yield ComparedApi("http://127.0.0.1:1", [])

    monkeypatch.setattr(compared_apis, "run_bare_api", run_nothing)

    with run_compared_apis(2) as apis:
        assert list(apis) == ["bare"]

    assert capsys.readouterr().err == "bench: LitServe is not compared: it is not installed (pip install 'litserve')\n"


def test_an_actor_of_ray_data_scores_a_batch_as_a_script_does(tmp_path: Path) -> None:
    uris = draw_images(tmp_path, 5)

    scored = Scanner("cpu")({"item": np.array(uris, dtype=object)})

    assert scored["probability"].tolist() == FileByFile("cpu").scan_batch(uris)
    assert scored["loaded"].shape == (5,)


def test_seconds_that_a_way_leaves_out_do_not_count() -> None:
    def scan(uris: Sequence[str]) -> float:
        # As if it had begun a minute earlier.
        return -60.0

    rates = alternate({"ray_data": scan, "bare_loop": lambda uris: None}, ["file:///a", "file:///b"], 1)

    assert rates["ray_data"][0] <= 2 < rates["bare_loop"][0]


def test_ratios_of_requests_are_those_of_rounds_and_their_median() -> None:
    rates = {"serving": (10.0, 20.0, 60.0), "bare": (10.0, 10.0, 10.0), "litserve": (5.0, 5.0, 5.0)}
    rows = {name: [{"per_second": rate} for rate in each] for name, each in rates.items()}

    figures = summarise({f"{name}_{clients}": each for name, each in rows.items() for clients in CLIENTS})
    without = summarise({f"{name}_1": rows[name] for name in ("serving", "bare")})

    assert (figures["ratio_bare_api_16"], figures["ratios_bare_api_16"]) == (2.0, [1.0, 2.0, 6.0])
    assert (figures["ratio_litserve_64"], figures["ratios_litserve_64"]) == (4.0, [2.0, 4.0, 12.0])
    assert (figures["serving_1_per_second"], figures["litserve_1_per_second"]) == (20.0, 5.0)
    assert "ratio_bare_api_1" in without
    assert "ratio_litserve_1" not in without


@pytest.mark.parametrize("missing", [(), ("ray_data",)])
def test_the_chart_has_a_bar_for_each_measured_way(missing: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="an extra of research")
    figures = {f"{way}_images_per_minute": 1000 + number for number, way in enumerate(WAYS) if way not in missing}

    draw_plot({**figures, "cores": 2, "devices": ["cpu0"]}, tmp_path / "chart.svg")

    drawn = (tmp_path / "chart.svg").read_text()
    for number, (way, name) in enumerate(WAYS.items()):
        assert (f">{name}</text>" in drawn) == (way not in missing)
        assert (f">{1000 + number:,}</text>" in drawn) == (way not in missing)
