"""Measures the memory of workers and the start times of the processes without torch."""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from research.benchmark.stage import Stage

PATIENCE_S = 30.0
LOOK_EVERY_S = 0.005
TICKS = os.sysconf("SC_CLK_TCK")
LISTENERS = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'starlight listener'")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine: command line, processor time and peak memory; `is_ours` for direct children."""

    pid: int
    parent: int
    arguments: str
    is_ours: bool
    processor_s: float
    peak_mib: float

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker started by this process."""
        return self.is_ours and "-m worker " in self.arguments


def processes() -> Iterator[Process]:
    """Yield the processes of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Fields of proc(5) from the third on: the second, the name in parentheses, may contain anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        processor_s = (int(fields[11]) + int(fields[12])) / TICKS
        peak_mib = int(status.get("VmHWM", "0").split()[0]) / 1024
        parent = int(fields[1])
        yield Process(int(folder.name), parent, arguments, parent == os.getpid(), processor_s, peak_mib)


def list_family(found: Sequence[Process], is_head: Callable[[Process], bool]) -> list[Process]:
    """Return the processes for which `is_head` is true, and their descendants."""
    family = {each.pid for each in found if is_head(each)}
    while more := {each.pid for each in found if each.parent in family} - family:
        family |= more
    return [each for each in found if each.pid in family]


def measure_memory(stage: Stage, large: Sequence[str]) -> dict[str, Any]:
    """Scan large images; return the highest peak memory (MiB) of a worker since its start."""
    stage.finish(stage.submit(large))
    return {"worker_peak_mib": round(max((each.peak_mib for each in processes() if each.is_worker), default=0.0))}


def measure_starts(stage: Stage, rounds: int) -> dict[str, Any]:
    """Return the seconds from start to first response of each process that runs without torch."""
    port = "9818"
    settings = {"STARLIGHT_EXPORTER_PORT": port, "STARLIGHT_API_PORT": port}
    before = _listeners(stage)
    starts: dict[str, Callable[[], bool]] = {
        "dispatcher": lambda: _listeners(stage) > before,
        "exporter": lambda: _answers(f"http://127.0.0.1:{port}/metrics"),
        "api": lambda: _answers(f"http://127.0.0.1:{port}/health"),
    }
    return {
        f"{name}_start_s": round(statistics.median(_start(stage, name, settings, ready) for _ in range(rounds)), 2)
        for name, ready in starts.items()
    }


def _start(stage: Stage, command: str, settings: dict[str, str], ready: Callable[[], bool]) -> float:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli", command],
        env={**os.environ, **stage.environment, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready():
            if time.perf_counter() - started > PATIENCE_S or process.poll() is not None:
                sys.exit(f"bench: `starlight {command}` does not start")
            time.sleep(LOOK_EVERY_S)
        return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def _listeners(stage: Stage) -> int:
    with stage.engine.connect() as connection:
        return int(connection.execute(LISTENERS).scalar_one())


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False
