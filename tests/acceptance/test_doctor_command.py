"""`starlight doctor` on a stack that works, on one that is paused, and without servers."""

import json
from pathlib import Path
from typing import Any

from tests.kit.command import run_starlight
from tests.kit.stack import RunningStack


def look(settings: dict[str, object], *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Return the exit code, and the results by subject."""
    ended = run_starlight("doctor", "--json", *options, settings=settings)
    assert "Traceback" not in ended.stderr
    document = json.loads(ended.stdout)
    assert document["well"] == (ended.returncode == 0), document
    found: dict[str, list[dict[str, Any]]] = {}
    for each in document["findings"]:
        found.setdefault(each["subject"], []).append(each)
    return ended.returncode, found


def test_a_stack_that_is_well_judges_a_picture(stack: RunningStack) -> None:
    settings = {**stack.settings, "min_free_bytes": 0}

    code, found = look(settings, "--patience", "100")

    assert code == 0, [each for listed in found.values() for each in listed if each["condition"] != "well"]
    assert "a generated picture is" in found["way of an image"][0]["seen"]
    assert {
        "PostgreSQL",
        "Redis",
        "schema",
        "clocks",
        "programs",
        "workers",
        "model",
        "queues",
        "GPU",
        "ulimits",
        "settings",
    } <= set(found)
    told = run_starlight("doctor", "--no-scan", settings=settings)
    assert "well     schema" in told.stdout
    assert "way of an image" not in told.stdout


def test_what_is_held_back_is_told_and_nothing_is_tried(stack: RunningStack) -> None:
    settings = {**stack.settings, "min_free_bytes": 0}
    run_starlight("pause", "--submitter", "nobody", settings=settings)

    _, found = look(settings)

    assert "submitter nobody (by tester)" in found["pauses"][0]["seen"]
    assert found["way of an image"][0]["condition"] == "unknown"
    assert run_starlight("resume", "--submitter", "nobody", settings=settings).returncode == 0


def test_servers_that_do_not_answer_are_told(tmp_path: Path) -> None:
    code, found = look({
        "data_dir": tmp_path, "min_free_bytes": 0,
        "database_url": "postgresql://nobody@127.0.0.1:9/none", "redis_url": "redis://127.0.0.1:9/0",
    })  # fmt: skip

    assert code == 1
    assert found["Redis"][0]["condition"] == found["PostgreSQL"][0]["condition"] == "wrong"
    assert "STARLIGHT_DATABASE_URL" in found["PostgreSQL"][0]["mend"]
    assert found["schema"][0]["condition"] == "unknown"
