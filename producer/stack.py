"""The processes of a stack: one parent starts, watches, restarts and stops them."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO

from storage.setting_defaults import count_usable_cores
from worker.devices import Device

STOP_GRACE_S = 30.0
HURRY_S = 5.0
WATCH_INTERVAL_S = 0.5
RESTART_FIRST_S = 1.0
RESTART_LONGEST_S = 30.0
# If a process ran longer than this before it ended, the restart pause is the shortest again.
SETTLED_S = 60.0
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stack: its name, arguments for the Python interpreter, and default environment variables."""

    name: str
    arguments: tuple[str, ...]
    defaults: Mapping[str, str] = field(default_factory=dict)


def make_dispatcher() -> Program:
    """Return the dispatcher."""
    return Program("dispatcher", ("-m", "producer.cli", "dispatcher"))


def make_worker(device: Device) -> Program:
    """Return the worker of a device."""
    return Program(f"worker {device}", ("-m", "worker", str(device)))


def make_workers(devices: Sequence[Device]) -> list[Program]:
    """Return a worker for each of these devices; CPU workers share the cores."""
    return [replace(make_worker(device), defaults=share_cores(device, devices)) for device in devices]


def share_cores(device: Device, devices: Sequence[Device]) -> dict[str, str]:
    """Return the environment variable that limits a CPU worker to its share of the cores; GPU workers have no limit."""
    if device.kind == "gpu":
        return {}
    on_processor = sum(each.kind == "cpu" for each in devices)
    return {"STARLIGHT_CORES": str(max(1, count_usable_cores() // max(1, on_processor)))}


def make_api() -> Program:
    """Return the HTTP API."""
    return Program("api", ("-m", "producer.api"))


def make_exporter() -> Program:
    """Return the metrics exporter."""
    return Program("exporter", ("-m", "monitoring"))


def make_canary() -> Program:
    """Return the service of canaries."""
    return Program("canary", ("-m", "producer.cli", "canary"))


def make_flower() -> Program:
    """Return Flower."""
    return Program("flower", ("-m", "monitoring.flower"))


@dataclass(slots=True)
class Running:
    """A started program; if it ended, `restart_at` is when it is started again, after `pause_s`."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    pause_s: float = RESTART_FIRST_S
    restart_at: float | None = None


class Stack:
    """Runs programs for the duration of a `with` block; they also end if this process dies."""

    def __init__(self, programs: Sequence[Program], environment: Mapping[str, str], log_to: Path | None = None) -> None:
        self._programs = programs
        self._environment = {**os.environ, **environment}
        self._log_to = log_to
        self._running: list[Running] = []

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every program."""
        if self._log_to is not None:
            self._log_to.mkdir(parents=True, exist_ok=True, mode=0o700)
            for program in self._programs:
                self._log(program).unlink(missing_ok=True)
        try:
            for program in self._programs:
                self._running.append(Running(program, self._start(program), time.monotonic()))
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Restart programs that have ended, with growing pauses; to be called about every second."""
        for entry in self._running:
            now = time.monotonic()
            if entry.restart_at is None and entry.process.poll() is not None:
                entry.pause_s = RESTART_FIRST_S if now - entry.started_at > SETTLED_S else entry.pause_s
                entry.restart_at = now + entry.pause_s
                log.warning(
                    "%s ended with status %s, restarting it in %.0f s",
                    entry.program.name, entry.process.returncode, entry.pause_s,
                )  # fmt: skip
            if entry.restart_at is not None and now >= entry.restart_at:
                entry.process = self._start(entry.program)
                entry.started_at, entry.restart_at = now, None
                entry.pause_s = min(2 * entry.pause_s, RESTART_LONGEST_S)

    def watch_until_interrupted(self) -> None:
        """Keep the programs running until KeyboardInterrupt."""
        while True:
            self.watch()
            time.sleep(WATCH_INTERVAL_S)

    def stop(self) -> None:
        """Send SIGTERM to every process, wait, and kill those that are left.

        A KeyboardInterrupt meanwhile sends SIGINT with a shorter grace period; the next one kills them all.
        """
        # Workers give their chunks back at the second signal.
        for number, grace_s in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGINT, HURRY_S), (signal.SIGINT, 0.0)):
            try:
                self._signal(number)
                self._wait(grace_s)
                break
            except KeyboardInterrupt:
                continue
        self._running = []

    def _wait(self, grace_s: float) -> None:
        """Wait until every process has ended, and kill those that run longer than `grace_s`."""
        deadline = time.monotonic() + grace_s
        for entry in self._running:
            try:
                entry.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end in time and is killed", entry.program.name)
                entry.process.kill()
                entry.process.wait()

    def _signal(self, signal_number: int) -> None:
        for entry in self._running:
            with suppress(ProcessLookupError):
                entry.process.send_signal(signal_number)

    def _log(self, program: Program) -> Path:
        assert self._log_to is not None
        return self._log_to / f"{program.name.replace(' ', '-')}.log"

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        output: IO[bytes] | None = None
        if self._log_to is not None:
            output = self._log(program).open("ab")
        try:
            # In a session of their own they do not get Ctrl-C; this process stops them in order.
            return subprocess.Popen(
                [sys.executable, *program.arguments],
                env={**program.defaults, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()) if sys.platform == "linux" else None,
            )
        finally:
            if output is not None:
                output.close()


_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent dies; exit now if the parent is already dead."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)
