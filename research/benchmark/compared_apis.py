"""Runs the APIs that `POST /scan/image` is compared with."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from subprocess import DEVNULL, Popen
from types import MappingProxyType

import httpx

from research.benchmark.api import wait_until_answered
from research.benchmark.optional import is_installed
from research.benchmark.stack import POLL_S
from storage.embedded.ports import find_free_port

START_S = 120


class ComparedApi:
    """A running API, in process groups of its own."""

    def __init__(self, url: str, processes: "list[Popen[bytes]]", *, takes_turns: bool = False) -> None:
        self.url = url
        self.processes = processes
        self._takes_turns = takes_turns

    @contextmanager
    def in_turn(self) -> Iterator[str]:
        """Let an API that takes turns run only during the block; yield the URL."""
        if self._takes_turns:
            self._send(signal.SIGCONT)
        try:
            yield self.url
        finally:
            if self._takes_turns:
                self.suspend()

    def suspend(self) -> None:
        """Suspend all processes until the API's next turn."""
        self._send(signal.SIGSTOP)

    def stop(self) -> None:
        """Kill the processes and those that they started; they have nothing to save."""
        self._send(signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def _send(self, number: signal.Signals) -> None:
        for process in self.processes:
            # The group has ended.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


@contextmanager
def run_compared_apis(count: int) -> Iterator[dict[str, ComparedApi]]:
    """Run the bare API, and LitServe if it is installed, on `count` cores during the block; yield them by name."""
    with ExitStack() as running:
        apis = {"bare": running.enter_context(run_bare_api(count))}
        if is_installed("litserve", "LitServe", "litserve"):
            apis["litserve"] = running.enter_context(run_litserve(count))
        yield apis


@contextmanager
def run_bare_api(count: int) -> Iterator[ComparedApi]:
    """Run the bare API in `count` processes during the block."""
    port = find_free_port()
    api = ComparedApi(f"http://127.0.0.1:{port}", [_start("bare_api", port) for _ in range(count)])
    try:
        for _ in range(count):
            wait_until_answered(f"{api.url}/health")
        yield api
    finally:
        api.stop()


@contextmanager
def run_litserve(count: int) -> Iterator[ComparedApi]:
    """Run LitServe with `count` workers during the block; exits with an error if it does not start.

    It is suspended while the others are measured, because its workers look for requests every millisecond.
    """
    port = find_free_port()
    with tempfile.TemporaryDirectory(prefix="starlight-litserve-") as folder:
        process = _start("litserve_api", port, count, environment={"TMPDIR": folder})
        api = ComparedApi(f"http://127.0.0.1:{port}", [process], takes_turns=True)
        try:
            _wait_until_all_ready(f"{api.url}/health", process)
            api.suspend()
            yield api
        finally:
            api.stop()


def _start(module: str, *arguments: int, environment: Mapping[str, str] = MappingProxyType({})) -> "Popen[bytes]":
    command = [sys.executable, "-m", f"research.benchmark.{module}", *map(str, arguments)]
    return Popen(command, stdout=DEVNULL, env={**os.environ, **environment}, start_new_session=True)


def _wait_until_all_ready(url: str, process: "Popen[bytes]") -> None:
    """Wait until LitServe has loaded V4 in all workers; it answers 503 once it has in one."""
    deadline = time.monotonic() + START_S
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"bench: LitServe is not ready within {START_S} s")
        time.sleep(POLL_S)
