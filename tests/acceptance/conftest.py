"""A stack that runs while the acceptance tests do, started by `starlight up` as an operator starts it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.database import connect
from tests.acceptance.command import STARLIGHT, TIMEOUT_S, environment
from tests.conftest import temporary_folder

LEASE_S = 3


@dataclass(frozen=True)
class RunningStack:
    """A stack with two workers on this machine's processor."""

    process: "subprocess.Popen[str]"
    settings: Mapping[str, object]
    addresses: Mapping[str, str]
    engine: Engine


def started(settings: Mapping[str, object], *devices: str) -> tuple["subprocess.Popen[str]", dict[str, str]]:
    """Start `starlight up`; return its process and the addresses that it prints."""
    options = [option for device in devices for option in ("--device", device)]
    process = subprocess.Popen(
        [*STARLIGHT, "up", *options],
        env=environment(settings),
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


def stopped(process: "subprocess.Popen[str]") -> int:
    """End it as Ctrl-C does; return its exit code."""
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    return process.returncode


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """A running stack, shared by all tests that do not break it."""
    with temporary_folder() as folder:
        settings = {
            "data_dir": folder, "lease_s": LEASE_S, "chunk_size": 16, "submitter": "tester", "reuse": False,
            "blocks_root": folder / "blocks",
        }  # fmt: skip
        process, addresses = started(settings, "cpu0", "cpu1")
        engine = connect(addresses["PostgreSQL"])
        yield RunningStack(process, settings, addresses, engine)
        engine.dispose()
        assert stopped(process) == 0
