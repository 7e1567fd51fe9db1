"""docker/entrypoint.py builds URLs from the secrets that a container has, then becomes the program in its arguments."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "entrypoint.py"
ECHO = "import os, sys; print(os.environ.get('GREETING'), *sys.argv[1:])"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder of secrets, still empty."""
    return tmp_path


@pytest.fixture
def entrypoint(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a container with these secrets."""
    spec = importlib.util.spec_from_file_location("entrypoint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SECRETS", secrets)
    return module


def test_urls_are_built_from_secrets_and_encode_them(entrypoint: ModuleType, secrets: Path) -> None:
    (secrets / "postgres_password").write_text("a/b@c\n")
    (secrets / "redis_password").write_text("d:e?f")
    (secrets / "flower_password").write_text("g#h\r\n")

    assert entrypoint.complete({"HOME": "/tmp"}) == {
        "HOME": "/tmp",
        "STARLIGHT_DATABASE_URL": "postgresql://starlight:a%2Fb%40c@postgres:5432/starlight",
        "STARLIGHT_REDIS_URL": "redis://:d%3Ae%3Ff@redis:6379/0",
        "STARLIGHT_FLOWER_BASIC_AUTH": "starlight:g#h",
    }


def test_what_is_set_stays_and_an_empty_value_counts_as_unset(entrypoint: ModuleType, secrets: Path) -> None:
    (secrets / "postgres_password").write_text("a")
    (secrets / "redis_password").write_text("b")
    given = {"STARLIGHT_DATABASE_URL": "postgresql://elsewhere/starlight", "STARLIGHT_REDIS_URL": ""}

    completed = entrypoint.complete(given)

    assert completed == {**given, "STARLIGHT_REDIS_URL": "redis://:b@redis:6379/0"}


def test_without_secrets_nothing_is_added(entrypoint: ModuleType) -> None:
    assert entrypoint.complete({"HOME": "/tmp"}) == {"HOME": "/tmp"}


def test_it_becomes_the_program_in_its_arguments() -> None:
    command = [sys.executable, str(SCRIPT), sys.executable, "-c", ECHO, "a b", "*"]

    run = subprocess.run(command, env={"GREETING": "hello"}, capture_output=True, text=True, check=True)

    assert run.stdout == "hello a b *\n"


def test_its_other_name_is_the_command(tmp_path: Path) -> None:
    (tmp_path / "starlight").symlink_to(SCRIPT)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    command = [sys.executable, str(tmp_path / "starlight"), "jobs", "--json"]

    run = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)

    assert run.stdout == "-m producer.cli jobs --json\n"


def test_a_program_that_is_not_there_is_named() -> None:
    run = subprocess.run([sys.executable, str(SCRIPT), "absent"], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (127, "cannot run absent: No such file or directory\n")
