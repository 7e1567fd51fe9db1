"""Devices: their names, the devices of a machine, and the part that a worker's process sees."""

from pathlib import Path

import pytest

from worker.devices import MAX_CPU_WORKERS, Device, DeviceError, find_devices

VISIBLE = "CUDA_VISIBLE_DEVICES"
TWO_GPUS = """#!/bin/sh
[ "$1" = --list-gpus ] || exit 9
echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'
echo '  MIG 1g.18gb Device 0: (UUID: MIG-1)'
echo 'GPU 1: NVIDIA H200 (UUID: GPU-2)'
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one on the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(VISIBLE, raising=False)
    return folder


def install(programs: Path, script: str) -> None:
    program = programs / "nvidia-smi"
    program.write_text(script)
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("cpu", Device("cpu", 0)),
        ("cpu0", Device("cpu", 0)),
        ("cpu1", Device("cpu", 1)),
        ("gpu", Device("gpu", 0)),
        ("gpu0", Device("gpu", 0)),
        ("gpu15", Device("gpu", 15)),
    ],
)
def test_a_device_is_known_by_its_name(name: str, device: Device) -> None:
    assert Device.parse(name) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize("name", ["", "tpu0", "GPU0", "gpu-1", "gpu 0", "0", "cpu0\n", "cuda:0", "gpu0,gpu1", "gpu1.5"])
def test_other_names_are_refused_with_the_names_to_use(name: str) -> None:
    with pytest.raises(DeviceError, match="use cpu0"):
        Device.parse(name)


@pytest.mark.parametrize(
    ("name", "torch_name"), [("cpu0", "cpu"), ("cpu3", "cpu"), ("gpu0", "cuda:0"), ("gpu3", "cuda:0")]
)
def test_torch_sees_a_pinned_gpu_as_its_first(name: str, torch_name: str) -> None:
    assert Device.parse(name).torch_name == torch_name


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("cpu0", None, ""),
        ("cpu1", "0,1", ""),
        ("gpu0", None, "0"),
        ("gpu3", None, "3"),
        ("gpu0", "2,5", "2"),
        ("gpu1", "2,5", "5"),
        ("gpu1", "GPU-aaaa,MIG-bbbb", "MIG-bbbb"),
    ],
)
def test_a_pinned_process_sees_its_own_device_alone(name: str, before: str | None, after: str) -> None:
    environment = {} if before is None else {VISIBLE: before}

    Device.parse(name).pin(environment)

    assert environment == {VISIBLE: after}


def test_a_gpu_that_is_not_visible_cannot_be_pinned() -> None:
    environment = {VISIBLE: "4,5"}

    with pytest.raises(DeviceError, match="no gpu2"):
        Device("gpu", 2).pin(environment)

    assert environment == {VISIBLE: "4,5"}


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("", ["cpu0", "cpu1", "cpu2"]),
        ("0", ["gpu0"]),
        ("2,5", ["gpu0", "gpu1"]),
        ("GPU-aaaa,MIG-bbbb", ["gpu0", "gpu1"]),
        pytest.param("-1", ["cpu0", "cpu1", "cpu2"]),
        pytest.param("0,-1,1", ["gpu0"]),
    ],
)
@pytest.mark.usefixtures("programs")
def test_the_visible_gpus_are_used_or_else_each_core(
    monkeypatch: pytest.MonkeyPatch, visible: str, devices: list[str]
) -> None:
    monkeypatch.setattr("worker.devices.count_usable_cores", lambda: 3)
    monkeypatch.setenv(VISIBLE, visible)

    assert [str(device) for device in find_devices()] == devices


def test_gpus_are_counted_by_the_driver_where_nothing_says_which_to_use(programs: Path) -> None:
    install(programs, TWO_GPUS)

    assert [str(device) for device in find_devices()] == ["gpu0", "gpu1"]


@pytest.mark.parametrize(
    "script",
    [
        None,
        "#!/bin/sh\nexit 0\n",
        "#!/bin/sh\necho 'GPU 0: lost'; exit 9\n",
        "#!/bin/sh\necho 'No devices were found'\n",
    ],
)
def test_without_a_working_driver_the_processor_is_used(programs: Path, script: str | None) -> None:
    if script is not None:
        install(programs, script)

    assert {device.kind for device in find_devices()} == {"cpu"}


def test_many_cores_share_a_bounded_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.devices.count_usable_cores", lambda: 100)
    monkeypatch.setenv(VISIBLE, "")

    assert len(find_devices()) == MAX_CPU_WORKERS


def test_what_the_driver_says_of_all_gpus_does_not_matter_where_some_are_named(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(programs, TWO_GPUS)
    monkeypatch.setenv(VISIBLE, "7")

    assert find_devices() == [Device("gpu", 0)]
