"""The rooms of the project: which may import which."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_imports_upwards_or_from_a_test_module_and_torch_stays_in_its_room() -> None:
    program = Path(sys.executable).parent / "lint-imports"

    checked = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_must_start_fast_runs_without_torch() -> None:
    modules = ("producer.cli.command", "producer.dispatching.dispatcher", "monitoring.exporter", "worker.app")
    program = "".join(f"import sys, {module}; assert 'torch' not in sys.modules, '{module}'\n" for module in modules)

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert loaded.returncode == 0, loaded.stderr
