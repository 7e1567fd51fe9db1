"""The units in deploy/systemd, checked by systemd's tools without running systemd."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from producer.cli.command import app

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/starlight/bin/"
# The maximum exposure level by systemd-analyze, of 10.
MOST_EXPOSED = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as if installed, with existing programs, and an instance of each template."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(re.sub(f"={INSTALLED}\\S+", "=/bin/true", unit.read_text()))
        if "@." in unit.name:
            unit.rename(unit.with_name(unit.name.replace("@.", "@cpu0.")))
    return folder


def analyze(units: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_takes_the_units_as_they_are(units: Path) -> None:
    read = analyze(units, "verify", "--man=no", *units.glob("*.service"), *units.glob("*.target"))

    assert (read.returncode, read.stderr) == (0, "")


@needs_systemd
def test_every_program_is_confined(units: Path) -> None:
    for unit in units.glob("*.service"):
        read = analyze(units, "security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)

        assert read.returncode == 0, f"{unit.name}: {read.stdout.splitlines()[-1]}"


def test_units_run_what_there_is_as_one_account() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    units = sorted(UNITS.glob("*.service"))
    started = [re.search(r"^ExecStart=(\S+) (\S+)", unit.read_text(), re.MULTILINE) for unit in units]

    assert {found[2] for found in started if found and found[1].endswith("/starlight")} <= set(commands)
    assert all(unit.name.startswith("starlight-") for unit in units), "confinement.conf is for these names"
    assert "User=starlight" in (UNITS / "starlight-.service.d" / "confinement.conf").read_text()
