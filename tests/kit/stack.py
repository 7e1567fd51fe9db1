"""The whole stack, started by `starlight up` as an operator starts it."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment


@dataclass(frozen=True)
class RunningStack:
    """A stack with two workers on this machine's processor."""

    process: "subprocess.Popen[str]"
    settings: Mapping[str, object]
    addresses: Mapping[str, str]
    engine: Engine


def start_stack(settings: Mapping[str, object], *devices: str) -> tuple["subprocess.Popen[str]", dict[str, str]]:
    """Start `starlight up`; return its process and the addresses that it prints."""
    options = [option for device in devices for option in ("--device", device)]
    process = subprocess.Popen(
        [*STARLIGHT, "up", *options],
        env=make_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    addresses = {}
    data_dir = Path(str(settings["data_dir"]))
    assert process.stdout is not None
    for line in process.stdout:
        label, _, address = line.strip().partition(" ")
        addresses[label] = address.strip().replace("***", (data_dir / "password").read_text())
        if label == "Running":
            return process, addresses
    raise AssertionError(f"`starlight up` ended with {process.wait()}")


def stop_stack(process: "subprocess.Popen[str]") -> int:
    """End it as Ctrl-C does; return its exit code."""
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    return process.returncode
