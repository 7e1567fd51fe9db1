"""The stack under test: embedded servers, workers, dispatchers and API, restarted as by a service manager."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from research.chaos.hostile import LIMITS, make_environment_deadly
from research.chaos.posts import SUBMITTER
from starlight_vocabulary.words import Scope
from storage.database import connect
from storage.embedded.ports import find_free_port
from storage.embedded.servers import EmbeddedServers, Servers
from storage.keys import create_key
from storage.schema_version import upgrade_schema
from storage.settings import Settings

LEASE_S = 3.0
WORKERS = ("cpu0", "cpu1")
DISPATCHERS = 2
STOP_S = 30.0


@dataclass
class Member:
    """One process of the stack, which is restarted when it ends."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    paused: bool = False

    def start(self) -> None:
        """Start the process; its output is appended to the log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.paused = False

    @property
    def alive(self) -> bool:
        """Whether the process exists, paused or not."""
        return self.process is not None and self.process.poll() is None

    def send(self, signal_number: int) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(signal_number)


@dataclass
class ChaosStack:
    """Servers and processes, the API's address and a key; `keep_running` acts as the service manager."""

    folder: Path
    servers: Servers
    engine: Engine
    api: str
    key: str
    members: list[Member] = field(default_factory=list)

    def keep_running(self) -> None:
        """Restart what has ended, servers first."""
        self.servers.revive()
        for member in self.members:
            if not member.alive:
                member.start()

    def group(self, kind: str) -> list[Member]:
        """Return the running members of a kind that are not paused."""
        return [
            member for member in self.members if member.name.startswith(kind) and member.alive and not member.paused
        ]


@contextmanager
def run_stack(folder: Path) -> Iterator[ChaosStack]:
    """Run a stack in `folder` with two workers, two dispatchers and an API during the block."""
    embedded = EmbeddedServers(Settings(data_dir=folder / "data", database_url=None, redis_url=None))
    database_url, redis_url = embedded.attach()
    servers = Servers(database_url or "", redis_url or "", embedded)
    engine = connect(servers.database_url, application="chaos")
    upgrade_schema(engine)
    port = find_free_port()
    key = create_key(engine, SUBMITTER, [Scope.SUBMIT])
    stack = ChaosStack(folder, servers, engine, f"http://127.0.0.1:{port}", key)
    environment = {
        **os.environ,
        **servers.environment(),
        "STARLIGHT_DATA_DIR": str(folder / "data"),
        "STARLIGHT_LEASE_S": str(LEASE_S),
        "STARLIGHT_REPUBLISH_AFTER_S": "2",
        "STARLIGHT_TORCH_THREADS": "1",
        "STARLIGHT_DECODE_PROCESSES": "1",
        "STARLIGHT_API_PORT": str(port),
        **LIMITS,
    }
    for device in WORKERS:
        stack.members.append(
            Member(
                f"worker {device}",
                ("-m", "worker", device),
                make_environment_deadly(environment, folder),
                folder / f"worker-{device}.log",
            )
        )
    for number in range(DISPATCHERS):
        name = f"dispatcher {number}"
        arguments = ("-m", "producer.cli", "dispatcher")
        stack.members.append(Member(name, arguments, environment, folder / f"dispatcher-{number}.log"))
    stack.members.append(Member("api", ("-m", "producer.api"), environment, folder / "api.log"))
    try:
        for member in stack.members:
            member.start()
        yield stack
    finally:
        for member in stack.members:
            end(member)
        engine.dispose()
        embedded.detach()


def end(member: Member) -> None:
    """Terminate a process; kill it after `STOP_S`."""
    if not member.alive:
        return
    member.send(signal.SIGCONT)
    member.send(signal.SIGTERM)
    assert member.process is not None
    try:
        member.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        member.process.kill()
        member.process.wait()
