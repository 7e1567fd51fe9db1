"""Ray Data and LitServe of the benchmark, where they are installed: they scan, and nothing of them is left."""

import asyncio
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from research.benchmark.compared_apis import run_litserve
from research.benchmark.pictures import draw_images, find_file
from research.benchmark.ray_data import BATCH, RayData
from research.benchmark.serving import post_images
from research.processes import list_processes
from worker.devices import Device


@pytest.mark.skipif(not find_spec("ray"), reason="Ray Data is not installed")
def test_ray_data_scans_all_images_and_stops(tmp_path: Path) -> None:
    uris = draw_images(tmp_path, 10) * BATCH
    way = RayData(Device("cpu", 0))

    aside = way(uris)

    assert len(way.starts_s) == 1
    assert 0 < way.starts_s[0] < aside
    assert [each for each in list_processes() if "starlight-ray-" in each.command] == []


@pytest.mark.skipif(not find_spec("litserve"), reason="LitServe is not installed")
def test_litserve_answers_in_its_turn_and_stops(tmp_path: Path) -> None:
    images = [find_file(uri).read_bytes() for uri in draw_images(tmp_path, 5)]

    with run_litserve(2) as api, api.in_turn() as url:
        answered = asyncio.run(post_images(url, "no key", images, 4, 20))

    assert answered["per_second"] > 0
    assert api.processes[0].returncode == -signal.SIGKILL
    assert not _is_answered(url)


def _is_answered(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(url)
        return True
    return False
