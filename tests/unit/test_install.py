"""Which Python `scripts/install` uses, and when it replaces `.venv`; a stand-in for pip installs nothing."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = """
import pathlib
import sys
if "--editable" in sys.argv:
    pathlib.Path(".venv/bin/starlight").touch(mode=0o755)
    with open("pip.log", "a") as log:
        print("installed", file=log)
"""
# Makes the environment without pip, whose installation takes seconds; the stand-in is used anyway.
VENV = """
import pathlib
import sys
if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    sys.path = [place for place in sys.path if pathlib.Path(place) != here]
    import venv
    venv.main([*sys.argv[1:], "--without-pip"])
"""


def list_minor_versions() -> list[int]:
    """Return the minor versions of Python that the project declares."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [int(each.rpartition(".")[2]) for each in classifiers if each.startswith("Programming Language :: Python")]


def make_other_python(program: Path, minor: int) -> Path:
    """Write a program that claims to be Python 3.`minor`.99."""
    (program.parent / "sitecustomize.py").write_text(
        f"import sys\nsys.version_info = (3, {minor}, 99)\nsys.version = '3.{minor}.99'\n"
    )
    program.write_text(f'#!/bin/sh\nPYTHONPATH={program.parent} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that the script reads, and a stand-in for pip."""
    folder = tmp_path / "checkout"
    read = ("scripts/install", "requirements.lock", "pyproject.toml", "client/pyproject.toml", "storage/version.py")
    for name in read:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "pip").mkdir()
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(PIP)
    (folder / "venv.py").write_text(VENV)
    return folder


def install(checkout: Path, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("PYTHON", None)
    if python is not None:
        environment["PYTHON"] = str(python)
    return subprocess.run(
        [checkout / "scripts" / "install"], env=environment, capture_output=True, text=True, check=False
    )


def count_installations(checkout: Path) -> int:
    log = checkout / "pip.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.parametrize("minor", [min(list_minor_versions()) - 1, max(list_minor_versions()) + 1])
def test_a_python_that_the_project_does_not_declare_is_refused(checkout: Path, tmp_path: Path, minor: int) -> None:
    python = make_other_python(tmp_path / "python", minor)

    refused = install(checkout, python)

    assert refused.returncode == 1
    assert f"PYTHON={python} is 3.{minor}.99" in refused.stderr
    assert all(f"3.{declared}" in refused.stderr for declared in list_minor_versions())
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_missing_is_refused(checkout: Path, tmp_path: Path) -> None:
    refused = install(checkout, tmp_path / "missing")

    assert refused.returncode == 1
    assert f"PYTHON={tmp_path / 'missing'} is not a Python that runs" in refused.stderr


def test_the_environment_is_made_anew_for_another_python_and_only_then(checkout: Path) -> None:
    assert install(checkout, Path(sys.executable)).returncode == 0
    assert count_installations(checkout) == 1
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    make_other_python(python, max(list_minor_versions()))

    assert install(checkout).returncode == 0
    assert count_installations(checkout) == 1, "without PYTHON any is kept"

    for _ in range(2):
        assert install(checkout, Path(sys.executable)).returncode == 0
        assert count_installations(checkout) == 2
    said = subprocess.run([python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == sys.version
