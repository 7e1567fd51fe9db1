"""The checks of a machine by `starlight doctor`: each fault is named, with the fix."""

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from producer.cli.doctor import machine
from producer.cli.doctor.check_results import CheckResult, Condition
from producer.cli.doctor.installation import check_programs, check_workers
from starlight_vocabulary.answers import LiveWorker
from storage.processes import LiveProgram
from storage.settings import Settings
from storage.version import VERSION
from worker.v4.card import DEFAULT_MODEL, read_card

DISPATCHER = LiveProgram("dispatcher", VERSION)


def make_worker(name: str, *, draining: bool = False) -> LiveWorker:
    from datetime import UTC, datetime

    return LiveWorker(
        name=name, device="cpu0", seen_at=datetime.now(UTC), model="v4-1", model_sha256="0" * 64, draining=draining
    )


def write_nvidia_smi(folder: Path, script: str) -> str:
    """Replace the driver, which this machine may not have, by a program."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def spoil_model(folder: Path) -> CheckResult:
    shutil.copytree(DEFAULT_MODEL, folder / "model")
    with (folder / "model" / read_card(DEFAULT_MODEL).weights).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    return machine.check_model(folder / "model")


def open_folder(folder: Path) -> CheckResult:
    folder.chmod(0o777)
    return machine.check_folder(Settings(data_dir=folder))


def open_password(folder: Path) -> CheckResult:
    (folder / "password").write_text("secret")
    (folder / "password").chmod(0o644)
    return machine.check_folder(Settings(data_dir=folder))


def read_names(folder: Path, lines: str) -> list[str]:
    (folder / "settings.env").write_text(lines)
    return [*machine.read_names(folder / "settings.env"), "STARLIGHT_KEY", "PATH"]


def fill_disk(folder: Path) -> CheckResult:
    # A file system in memory may be empty otherwise, and then has as much as it must keep free.
    (folder / "blob").write_bytes(bytes(4096))
    return next(machine.check_disks(Settings(data_dir=folder, min_free_bytes=shutil.disk_usage(folder).total)))


FAULTS: dict[str, tuple[Callable[[Path], CheckResult], Condition, str, str]] = {
    "open folder": (open_folder, Condition.WRONG, "other accounts may write", "chmod go-w"),
    "open password": (open_password, Condition.WRONG, "other accounts may read", "chmod 600"),
    "misspelt setting": (
        lambda folder: machine.check_variables(read_names(folder, "STARLIGHT_LEASE_S=9\nstarlight_max_image_byte=5\n")),
        Condition.WARNING, "STARLIGHT_MAX_IMAGE_BYTE", "did you mean STARLIGHT_MAX_IMAGE_BYTES? Correct",
    ),
    "full disk": (fill_disk, Condition.WRONG, "GiB free", "starlight purge"),
    "spoilt model": (spoil_model, Condition.WRONG, "instead of its card's", "reinstall Starlight"),
    "no model": (machine.check_model, Condition.WRONG, "card.json", "reinstall Starlight"),
    "few descriptors": (lambda _: machine.check_descriptors(256), Condition.WARNING, "256 files open", "LimitNOFILE"),
    "a driver that fails": (
        lambda folder: machine.check_gpu(write_nvidia_smi(folder, "echo 'version mismatch'; exit 18"), "2.0+cu130"),
        Condition.WRONG, "version mismatch", "install the driver",
    ),
    "torch without CUDA": (
        lambda folder: machine.check_gpu(write_nvidia_smi(folder, "echo 'H100, 570, 1 MiB, 80 GiB'"), "2.0+cpu"),
        Condition.WARNING, "H100, 570", "CUDA build",
    ),
    "no dispatcher": (lambda _: next(check_programs([], [])), Condition.WRONG, "no dispatcher", "starlight dispatcher"),
    "old programs": (
        lambda _: next(check_programs([DISPATCHER, LiveProgram("api", None), LiveProgram("cpu0@here", "0.1.0")], [])),
        Condition.WARNING, "api (an older release), cpu0@here (0.1.0)", "upgrade them",
    ),
    "no worker": (lambda _: next(check_workers([])), Condition.WRONG, "no worker is alive", "starlight worker"),
    "all drain": (
        lambda _: next(check_workers([make_worker("cpu0@here", draining=True)])),
        Condition.WRONG, "all workers are draining: cpu0@here", "--undo",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_so_is_what_mends_it(data_dir: Path, name: str) -> None:
    look, condition, seen, mend = FAULTS[name]

    found = look(data_dir)

    assert found.condition is condition
    assert seen in found.seen
    assert mend in found.mend


def test_a_disk_that_is_small_as_a_whole_is_missed_for_blobs_alone(data_dir: Path) -> None:
    found = list(machine.check_disks(Settings(data_dir=data_dir, min_free_bytes=2**60)))

    assert [("blobs" in each.seen, each.condition) for each in found] == [
        (False, Condition.WELL), (False, Condition.WELL), (True, Condition.WRONG),
    ]  # fmt: skip


def test_an_image_without_torch_has_no_version_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_nothing)

    assert machine.find_torch() is None


def test_what_is_well_needs_nothing(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, min_free_bytes=0)
    data_dir.chmod(0o700)

    found = [
        machine.check_folder(settings), machine.check_variables(["STARLIGHT_LEASE_S", "STARLIGHT_SERVER"]),
        *machine.check_disks(settings), machine.check_descriptors(-1),
        machine.check_gpu(None, "2.0"), machine.check_gpu(write_nvidia_smi(data_dir, "echo 'H100, 570'"), None),
        machine.check_model(DEFAULT_MODEL), *check_programs([DISPATCHER], []),
        *check_workers([make_worker("cpu0@here")]),
    ]  # fmt: skip

    assert {each.condition for each in found} == {Condition.WELL}
    assert {each.mend for each in found} == {""}
