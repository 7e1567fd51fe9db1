"""Metrics of GPUs, with a stand-in for NVIDIA's library, which needs a driver."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.kit.samples import read_registry
from worker.devices import Device
from worker.gpu_metrics import collect_gpu

GPU = Device("gpu", 0)


class NVMLError(Exception):
    """The library's error."""


class Library:
    """A library with two GPUs, the second of which does not report its temperature."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def nvmlInit(self) -> None:  # noqa: N802 - its name
        """Do nothing."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - its name
        if index > 1:
            raise NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> int:  # noqa: N802 - its name
        assert uuid == b"GPU-7"
        return 1

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802 - its name
        return SimpleNamespace(gpu=75)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802 - its name
        return SimpleNamespace(used=10, total=80)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802 - its name
        if handle:
            raise NVMLError("Not Supported")
        return 61


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Library())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


def test_a_gpu_says_how_busy_full_and_warm_it_is(registry: CollectorRegistry) -> None:
    assert collect_gpu(registry, GPU)

    assert read_registry(registry) == {
        "starlight_gpu_utilization_ratio": {("gpu0",): 0.75},
        "starlight_gpu_memory_used_bytes": {("gpu0",): 10},
        "starlight_gpu_memory_bytes": {("gpu0",): 80},
        "starlight_gpu_temperature_celsius": {("gpu0",): 61},
    }


def test_what_a_gpu_does_not_say_is_left_out(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7")

    assert collect_gpu(registry, GPU)

    assert "starlight_gpu_temperature_celsius" not in read_registry(registry)
    assert "starlight_gpu_memory_bytes" in read_registry(registry)


def test_no_gpu_no_library_and_no_answer_are_no_errors(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not collect_gpu(registry, Device("cpu", 0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert not collect_gpu(registry, GPU)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert not collect_gpu(registry, GPU)

    assert read_registry(registry) == {}
