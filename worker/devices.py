"""Finds the devices of this machine, and pins a process to one of them before torch is imported."""

import os
import re
import shutil
import subprocess
from collections.abc import MutableMapping
from dataclasses import dataclass
from itertools import takewhile

from storage.setting_defaults import count_usable_cores

# Because of the GIL, one process per core scans about 1.4 times as fast as threads in one process. Each process takes
# about 400 MB, so machines with many cores get fewer processes.
MAX_CPU_WORKERS = 8


class DeviceError(ValueError):
    """A device name is invalid, or there is no such device."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a worker; `cpu1` is a second worker process on the same processor."""

    kind: str
    index: int

    @classmethod
    def parse(cls, name: str) -> "Device":
        """Return the device of this name; `cpu` and `gpu` mean the first one. Raises DeviceError."""
        match = re.fullmatch(r"(cpu|gpu)(\d*)", name)
        if not match:
            raise DeviceError(f"unknown device {name!r}: use cpu0, cpu1, … or gpu0, gpu1, …")
        return cls(match[1], int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.kind}{self.index}"

    @property
    def torch_name(self) -> str:
        """Torch's name for the device in a process that is pinned to it."""
        return "cuda:0" if self.kind == "gpu" else "cpu"

    def pin(self, environment: MutableMapping[str, str]) -> None:
        """Make this device the only one that torch sees in a process with this environment. Raises DeviceError."""
        if self.kind == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
            return
        visible = _split_names(environment.get("CUDA_VISIBLE_DEVICES", ""))
        if visible and self.index >= len(visible):
            raise DeviceError(f"there is no {self}: CUDA_VISIBLE_DEVICES names {len(visible)} devices")
        environment["CUDA_VISIBLE_DEVICES"] = visible[self.index] if visible else str(self.index)


def find_devices() -> list[Device]:
    """Return all visible GPUs; without any, one `cpu0`, `cpu1`, … per core, up to `MAX_CPU_WORKERS`."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = _count_gpus() if listed is None else len(_split_names(listed))
    return [Device("gpu", index) for index in range(count)] or list_cpu_devices()


def list_cpu_devices() -> list[Device]:
    """Return one `cpu0`, `cpu1`, … per core, up to `MAX_CPU_WORKERS`."""
    return [Device("cpu", index) for index in range(min(count_usable_cores(), MAX_CPU_WORKERS))]


def _split_names(listed: str) -> list[str]:
    """Return the entries of CUDA_VISIBLE_DEVICES; -1 ends the list, as it does for CUDA."""
    return [entry for entry in takewhile(lambda entry: entry.strip() != "-1", listed.split(",")) if entry]


def _count_gpus() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, check=False, timeout=30)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
