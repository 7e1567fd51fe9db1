"""`starlight canary` on a running stack."""

import json
from pathlib import Path

from storage.canaries import read_canaries
from tests.kit.command import run_starlight
from tests.kit.stack import RunningStack


def test_a_round_goes_all_the_way_and_is_answered_rightly(stack: RunningStack) -> None:
    ended = run_starlight("canary", "--once", "--json", "--seed", "1", settings=stack.settings)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = json.loads(ended.stdout)
    assert [answer["result"] for answer in document["answers"]] == ["right"] * 10
    newest = read_canaries(stack.engine).newest
    assert newest is not None
    assert newest.seed == document["seed"] == 1
    assert run_starlight("jobs", "--limit", "1", settings=stack.settings).stdout.count("canaries") == 0


def test_the_images_of_a_seed_are_drawn_again(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path / "none"}
    told = run_starlight("canary", "--draw", tmp_path / "drawn", "--seed", "1", settings=settings)

    assert told.returncode == 0, told.stderr
    assert len(list((tmp_path / "drawn").iterdir())) == len(told.stdout.splitlines()) == 10
    refused = run_starlight("canary", "--draw", tmp_path, settings=settings)
    assert (refused.returncode, "--draw needs --seed" in refused.stderr) == (2, True)
    image = next((tmp_path / "drawn").iterdir())
    refused = run_starlight("canary", "--draw", image, "--seed", "1", settings=settings)
    assert (refused.returncode, f"{image} is not a folder" in refused.stderr) == (2, True)
