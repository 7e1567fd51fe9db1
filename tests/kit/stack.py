"""The whole stack, started by `starlight up` like an operator would."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from storage.database import connect
from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment
from tests.kit.output import Output
from tests.kit.ports import find_free_port

PORTS = ("api_port", "exporter_port", "flower_port")


@dataclass(frozen=True)
class RunningStack:
    """A running stack: its settings, the addresses that it printed, and its log."""

    process: "subprocess.Popen[str]"
    settings: Mapping[str, object]
    addresses: Mapping[str, str]
    log: Output
    engine: Engine

    def find_flower(self) -> tuple[str, str, str]:
        """Return the address of Flower, and its name and password."""
        address, _, known = self.addresses["Flower"].partition(" as ")
        name, _, file = known.partition(", password in ")
        return address, name, Path(file).read_text()


def start_stack(settings: Mapping[str, object], *devices: str) -> RunningStack:
    """Start `starlight up` with a worker on each device, and return when it is ready."""
    # Free ports, since stacks of several tests run at once; no canaries, since tests count the scanned images.
    settings = {**{port: find_free_port() for port in PORTS}, "canary_interval": 0, **settings}
    options = [option for device in devices for option in ("--device", device)]
    process = subprocess.Popen(
        [*STARLIGHT, "up", *options],
        env=make_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log = Output(process.stderr)
    addresses = {}
    data_dir = Path(str(settings["data_dir"]))
    for line in process.stdout:
        label, _, address = line.strip().partition(" ")
        addresses[label] = address.strip().replace("***", (data_dir / "password").read_text())
        if label == "ready":
            return RunningStack(process, settings, addresses, log, connect(addresses["PostgreSQL"]))
    raise AssertionError(f"`starlight up` ended with {process.wait()}")


def stop_stack(stack: RunningStack) -> int:
    """Stop the stack as Ctrl-C does; return its exit code."""
    stack.engine.dispose()
    os.kill(stack.process.pid, signal.SIGINT)
    status = stack.process.wait(TIMEOUT_S)
    assert stack.process.stdout is not None
    stack.process.stdout.close()
    return status
