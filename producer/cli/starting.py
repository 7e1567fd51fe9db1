"""Printing the addresses of the programs that `starlight up` has started, and `ready` when all are."""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from producer.cli.installation import Installation
from storage.hosts import EVERYWHERE
from storage.redis_urls import mask_password
from storage.workers import list_live_workers
from worker.devices import Device

# After this time the addresses are printed even if something is not ready.
PATIENCE_S = 60.0
CONNECT_S = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """A program that listens: its label, host and port, the path to show, and the user name to sign in with."""

    label: str
    host: str
    port: int
    path: str = ""
    name: str | None = None

    @property
    def address(self) -> str:
        """The URL for a browser, and the user name."""
        return f"http://{self.host}:{self.port}{self.path}{f' as {self.name}' if self.name else ''}"

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        host = "127.0.0.1" if self.host in EVERYWHERE else self.host
        try:
            with socket.create_connection((host, self.port), CONNECT_S):
                return True
        except OSError:
            return False


class StackStart:
    """The start of a stack: workers are ready when they have reported to the database, listeners when they accept."""

    def __init__(
        self, current: Installation, devices: Sequence[Device], listeners: Sequence[Listener], programs: Sequence[str]
    ) -> None:
        self._current = current
        self._devices = devices
        self._listeners = listeners
        self._programs = programs
        # Reports of earlier workers with the same names.
        self._reported: Mapping[str, datetime] = {}
        self._reported = self._find_reports()
        self._deadline = time.monotonic() + PATIENCE_S
        self._is_announced = False
        self._is_ready = False

    def watch(self) -> None:
        """Print the addresses and `ready` when everything is ready; to be called about every second."""
        if self._is_ready:
            return
        missing = self._list_missing()
        if missing and time.monotonic() < self._deadline:
            return
        if not self._is_announced:
            self._is_announced = True
            self._announce()
            if missing:
                print(f"not ready yet: {', '.join(missing)}; the log says why", flush=True)
        if not missing:
            self._is_ready = True
            print("ready", flush=True)

    def _announce(self) -> None:
        servers, broker_url = self._current.servers, self._current.settings.broker_url
        brokers = [("RabbitMQ", mask_password(broker_url))] if broker_url else []
        for label, address in (
            ("PostgreSQL", mask_password(servers.database_url)),
            ("Redis", mask_password(servers.redis_url)),
            *brokers,
            *((listener.label, listener.address) for listener in self._listeners),
            ("Running", ", ".join(self._programs)),
        ):
            print(f"{label:<11} {address}", flush=True)

    def _list_missing(self) -> list[str]:
        reports = self._find_reports()
        names = {device: f"{device}@{socket.gethostname()}" for device in self._devices}
        return [
            *(f"worker {device}" for device, name in names.items() if reports.get(name) == self._reported.get(name)),
            *(listener.label for listener in self._listeners if not listener.is_ready()),
        ]

    def _find_reports(self) -> Mapping[str, datetime]:
        try:
            workers = list_live_workers(self._current.engine, self._current.settings.lease_s)
        except SQLAlchemyError:
            # The process that runs the stack restarts the server.
            return self._reported
        return {worker.name: worker.seen_at for worker in workers}
