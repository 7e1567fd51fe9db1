"""Runs `starlight up` in a new folder, as an operator would."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from sqlalchemy import Engine

from starlight_vocabulary.words import Scope
from storage.database import connect
from storage.embedded.ports import find_free_port
from storage.keys import create_key

STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class UpStack:
    """A running stack: its process, data folder, servers, API address and key."""

    process_id: int
    folder: Path
    engine: Engine
    redis_url: str
    api: str
    key: str

    def list_roots(self) -> list[int]:
        """Return the root processes: `starlight up`, and each server that responds."""
        roots = [self.process_id]
        pid_file = self.folder / "postgres" / "data" / "postmaster.pid"
        with suppress(OSError, ValueError):
            roots.append(int(pid_file.read_text().split("\n", 1)[0]))
        with suppress(redis.RedisError), redis.Redis.from_url(self.redis_url) as client:
            roots.append(int(client.info("server")["process_id"]))
        return roots


@contextmanager
def run_up(folder: Path, devices: list[str], settings: Mapping[str, str]) -> Iterator[UpStack]:
    """Start the stack, yield it once it is ready, and stop it with SIGINT."""
    data = folder / "data"
    ports = {f"STARLIGHT_{name}_PORT": str(find_free_port()) for name in ("API", "EXPORTER", "FLOWER")}
    environment = {**os.environ, "STARLIGHT_DATA_DIR": str(data), **ports, **settings}
    options = [option for device in devices for option in ("--device", device)]
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer.cli", "up", *options],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            addresses = _read_addresses(process, folder / "up.log")
            password = (data / "password").read_text()
            urls = {name: addresses[name].replace("***", password) for name in ("PostgreSQL", "Redis")}
            engine = connect(urls["PostgreSQL"], application="soak")
            try:
                key = create_key(engine, "soak", [Scope.SUBMIT, Scope.READ])
                api = f"http://127.0.0.1:{ports['STARLIGHT_API_PORT']}"
                yield UpStack(process.pid, data, engine, urls["Redis"], api, key)
            finally:
                engine.dispose()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _read_addresses(process: "subprocess.Popen[str]", log: Path) -> dict[str, str]:
    assert process.stdout is not None
    addresses = {}
    for line in process.stdout:
        label, _, address = line.strip().partition(" ")
        addresses[label] = address.strip()
        if label == "ready":
            return addresses
    raise RuntimeError(f"`starlight up` ended with {process.wait()}: {log.read_text()[-500:]}")
