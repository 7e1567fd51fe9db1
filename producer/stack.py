"""The processes of a running stack, started, watched, restarted and stopped by one parent."""

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

from storage.settings import count_usable_cores
from worker.devices import Device

STOP_GRACE_S = 30.0
HURRY_S = 5.0
WATCH_INTERVAL_S = 0.5
RESTART_FIRST_S = 1.0
RESTART_LONGEST_S = 30.0
# A process that ran so long before it ended is restarted at once.
SETTLED_S = 60.0
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stack: its name, its arguments to this Python, and variables unless they are set already."""

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
    """Return the workers of all devices of this machine; those on the processor share its cores."""
    return [replace(make_worker(device), defaults=share_cores(device, devices)) for device in devices]


def share_cores(device: Device, devices: Sequence[Device]) -> dict[str, str]:
    """Return the variable for this worker's share of the cores; those on GPUs may use all."""
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
    """A started program, and when and after how long a pause it is started again."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    pause_s: float = RESTART_FIRST_S
    restart_at: float | None = None


class Stack:
    """Runs programs while the block lasts; they end with it, and with this process, however it dies."""

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
        """Start again what has ended by itself, with a growing pause; call this every second or so."""
        for entry in self._running:
            now = time.monotonic()
            if entry.restart_at is None and entry.process.poll() is not None:
                entry.pause_s = RESTART_FIRST_S if now - entry.started_at > SETTLED_S else entry.pause_s
                entry.restart_at = now + entry.pause_s
                log.warning(
                    "%s ended with status %s, starting it again in %.0f s",
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
        """Ask every process to end, wait, and kill those that do not.

        Interrupted meanwhile, ask them to end at once; interrupted again, kill them all.
        """
        # Workers give their chunks back at the second signal; whoever insists again has all killed.
        for number, grace_s in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGINT, HURRY_S), (signal.SIGINT, 0.0)):
            try:
                self._signal(number)
                self._wait(grace_s)
                break
            except KeyboardInterrupt:
                continue
        self._running = []

    def _wait(self, grace_s: float) -> None:
        """Wait for the end of every process, and kill those that live on after so many seconds."""
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
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
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
    """Have the kernel send SIGTERM to this process when its parent dies; of a parent that is dead, it ends now."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)
