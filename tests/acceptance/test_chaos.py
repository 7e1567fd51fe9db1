"""The short form of `scripts/chaos`: each fault once, and no image is lost or gets two verdicts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from research.chaos.faults import FAULTS
from research.chaos.hostile import HOSTILE
from tests.kit.command import TIMEOUT_S


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="signals processes as Linux does")
def test_every_image_has_one_verdict_whatever_dies() -> None:
    options = ("--images", "600", "--minutes", "0.3", "--faults", str(len(FAULTS)), "--seed", "11")
    run = subprocess.run(
        [sys.executable, "-m", "research.chaos", *options],
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT_S,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert (result["submitted"], result["verdicts"], result["lost"], result["doubled"]) == (600, 600, 0, 0)
    posts = result["posts"]
    assert posts["answered"] > 0
    assert (posts["lost"], posts["doubled"]) == (0, 0)
    assert result["faults"] == dict.fromkeys(sorted(FAULTS), 1)
    assert result["hostile"] == {
        "fed": len(HOSTILE), "as_expected": len(HOSTILE), "otherwise": [], "errors_of_others": {}
    }  # fmt: skip
