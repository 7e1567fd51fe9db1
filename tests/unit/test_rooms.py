"""The rooms of the project: what may import what."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_nothing_imports_upwards_or_from_a_test_module_and_torch_stays_in_its_room() -> None:
    program = Path(sys.executable).parent / "lint-imports"

    checked = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "module", ["producer.cli.command", "producer.dispatching.dispatcher", "monitoring.exporter", "worker.app"]
)
def test_what_must_start_fast_runs_without_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
