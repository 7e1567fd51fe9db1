"""`starlight model list`, `add`, `use` and `rollback` on a running stack, and a threshold for one job."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.changes import wait_for_change
from tests.kit.command import read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack
from worker.v4.card import CARD_FILE, DEFAULT_MODEL, read_card

WORKERS = 2


def copy_model(folder: Path, **changes: object) -> Path:
    """Copy the shipped model with these changes of its card; return the folder."""
    shutil.copytree(DEFAULT_MODEL, folder)
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **changes}))
    return folder


def list_models(stack: RunningStack) -> dict[str, dict[str, Any]]:
    """Return the output of `model list` by version."""
    run = run_starlight("model", "list", "--json", settings=stack.settings)
    return {each["version"]: each for each in read_records(run)}


def wait_for_workers(stack: RunningStack, version: str) -> None:
    """Return once both workers score with this version."""
    wait_for_change(stack.engine, "workers", lambda: list_models(stack).get(version, {}).get("workers") == WORKERS)


@pytest.fixture
def shipped_again(stack: RunningStack) -> Iterator[str]:
    """The version of the shipped model, which the stack uses again after the test."""
    version = read_card(DEFAULT_MODEL).version
    wait_for_workers(stack, version)
    yield version
    run_starlight("model", "use", "shipped", settings=stack.settings)
    wait_for_workers(stack, version)


def test_workers_change_to_the_model_in_use_and_back(stack: RunningStack, tmp_path: Path, shipped_again: str) -> None:
    (tmp_path / "images").mkdir()
    for name, data in make_stego_files().items():
        (tmp_path / "images" / name).write_bytes(data)

    def scanned_with() -> set[str]:
        run = run_starlight("scan", tmp_path / "images", "--format", "ndjson", settings=stack.settings)
        assert run.returncode == 1, run.stderr
        return {record["model"].partition("@")[0] for record in read_records(run)}

    assert list_models(stack)[shipped_again]["in_use"]
    added = run_starlight("model", "add", copy_model(tmp_path / "model", version="9.1"), settings=stack.settings)
    assert (added.returncode, added.stderr) == (0, "")
    again = run_starlight("model", "add", tmp_path / "model", settings=stack.settings)
    assert "was already added" in again.stdout
    assert again.stdout.endswith("`starlight model use starlight-v4-9.1` chooses it\n")
    lower = copy_model(tmp_path / "lower", version="9.1", threshold=0.25)
    beside = run_starlight("model", "add", lower, settings=stack.settings)
    assert beside.stdout.endswith("`starlight model use starlight-v4-9.1 --threshold 0.2500` chooses it\n")
    threshold = str(read_card(tmp_path / "model").threshold)

    chosen = run_starlight("model", "use", "starlight-v4-9.1", "--threshold", threshold, settings=stack.settings)
    assert (chosen.returncode, chosen.stderr) == (0, "")
    wait_for_workers(stack, "9.1")
    assert scanned_with() == {"starlight-v4-9.1"}
    assert [version for version, each in list_models(stack).items() if each["in_use"]] == ["9.1"]

    assert "ships with the code" in run_starlight("model", "rollback", settings=stack.settings).stdout
    wait_for_workers(stack, shipped_again)
    assert scanned_with() == {f"starlight-v4-{shipped_again}"}
    assert "9.1" in run_starlight("model", "rollback", settings=stack.settings).stdout


def expect_refusal(stack: RunningStack, *arguments: str | Path) -> str:
    run = run_starlight("model", *arguments, settings=stack.settings)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    return run.stderr


def test_models_that_are_not_what_their_cards_say_are_refused(stack: RunningStack, tmp_path: Path) -> None:
    damaged = copy_model(tmp_path / "damaged", version="9.2")
    weights = damaged / read_card(damaged).weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    assert "SHA-256 is" in expect_refusal(stack, "add", damaged)

    assert "card.json: cannot be read" in expect_refusal(stack, "add", tmp_path)
    assert "no added model is called 'unheard-of'" in expect_refusal(stack, "use", "unheard-of")
    assert "9.2" not in list_models(stack)


def test_a_job_has_a_threshold_of_its_own(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))

    def scanned(*options: str) -> dict[str, Any]:
        (record,) = read_records(
            run_starlight("scan", tmp_path, "--format", "ndjson", *options, settings=stack.settings)
        )
        return record

    usual, wary = scanned(), scanned("--threshold", "1e-12")
    assert (usual["outcome"], wary["outcome"]) == ("clean", "stego")
    assert wary["stego_probability"] == usual["stego_probability"]
    assert wary["threshold"] == 1e-12
    assert run_starlight("scan", tmp_path, "--threshold", "1", settings=stack.settings).returncode == 2
