"""Measures the memory of workers and of the whole stack, and the start times of the processes without torch."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from research.benchmark.api import wait_until_answered
from research.benchmark.stack import MeasuredStack
from research.processes import Process, list_family, list_processes, read_proportional_mib
from storage.embedded.ports import find_free_port

PATIENCE_S = 30.0
LOOK_EVERY_S = 0.005
# The exit code of `starlight scan` if it fails.
ERROR = 2
LISTENERS = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'starlight listener'")


def measure_memory(stack: MeasuredStack, large: Sequence[str]) -> dict[str, Any]:
    """Scan large images; return the highest sum of peak memories (MiB) of a worker and its decoding processes.

    It is an upper bound: the peaks need not coincide, and memory that they share counts for each of them.
    """
    stack.finish(stack.submit(large))
    found = list(list_processes())
    return {"worker_peak_mib": round(max((_sum_peaks(found, each) for each in found if each.is_worker), default=0.0))}


def _sum_peaks(found: Sequence[Process], worker: Process) -> float:
    return sum(each.peak_mib for each in list_family(found, lambda head: head is worker))


def measure_whole_stack(uris: Sequence[str]) -> dict[str, Any]:
    """Scan images with `starlight up`; return the memory (MiB) of all its processes, with shared pages counted once."""
    command = [sys.executable, "-m", "producer.cli"]
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as folder:
        # PostgreSQL runs under a number of its own if this process is root's.
        Path(folder).chmod(0o711)
        ports = {name: str(find_free_port()) for name in ("API", "EXPORTER", "FLOWER")}
        environment = {**os.environ, "STARLIGHT_DATA_DIR": f"{folder}/data"}
        environment |= {f"STARLIGHT_{name}_PORT": port for name, port in ports.items()}
        stack = subprocess.Popen(
            [*command, "up"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until_answered(f"http://127.0.0.1:{ports['API']}/health")
            scanned = subprocess.run(
                [*command, "scan", "-"],
                env=environment,
                input="\n".join(uris),
                text=True,
                stdout=subprocess.DEVNULL,
                check=False,
            )
            if scanned.returncode == ERROR:
                sys.exit("bench: `starlight scan` fails beside `starlight up`")
            family = list_family(
                list(list_processes()), lambda each: each.pid == stack.pid or f"{folder}/" in each.command
            )
            return {"stack_pss_mib": round(sum(read_proportional_mib(each.pid) for each in family))}
        finally:
            stack.terminate()
            stack.wait()


def measure_starts(stack: MeasuredStack, rounds: int) -> dict[str, Any]:
    """Return the seconds from start to first response of each process that runs without torch."""
    port = "9818"
    settings = {"STARLIGHT_EXPORTER_PORT": port, "STARLIGHT_API_PORT": port}
    before = _listeners(stack)
    starts: dict[str, Callable[[], bool]] = {
        "dispatcher": lambda: _listeners(stack) > before,
        "exporter": lambda: _answers(f"http://127.0.0.1:{port}/metrics"),
        "api": lambda: _answers(f"http://127.0.0.1:{port}/health"),
    }
    return {
        f"{name}_start_s": round(statistics.median(_start(stack, name, settings, ready) for _ in range(rounds)), 2)
        for name, ready in starts.items()
    }


def _start(stack: MeasuredStack, command: str, settings: dict[str, str], ready: Callable[[], bool]) -> float:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli", command],
        env={**os.environ, **stack.environment, **settings},
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


def _listeners(stack: MeasuredStack) -> int:
    with stack.engine.connect() as connection:
        return int(connection.execute(LISTENERS).scalar_one())


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False
