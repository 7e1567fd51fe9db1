"""The version in the code is that of the installed distribution and of the client."""

import tomllib
from importlib.metadata import version
from pathlib import Path

from typer.testing import CliRunner

from producer.cli.command import app
from storage.version import VERSION

ROOT = Path(__file__).parents[2]


def test_what_is_installed_is_of_the_version_in_the_code() -> None:
    assert version("starlight-batch-scanner") == VERSION


def test_the_client_and_the_changelog_are_of_this_version() -> None:
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]["version"]
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert client == VERSION
    assert f"starlight-client=={VERSION}" in required
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_shows_it() -> None:
    shown = CliRunner().invoke(app, ["--version"])

    assert (shown.exit_code, shown.stdout) == (0, f"starlight {VERSION}\n")
