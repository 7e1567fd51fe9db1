"""The lease of a device: at most one worker process per worker name in an installation.

It is a PostgreSQL advisory lock, held by a connection of its own, so it ends when the process dies: at once if the host
stays up, and otherwise after half a minute, when TCP keepalives of the server fail.
"""

import psycopg
from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.database import name_application, open_own_connection
from storage.outages import POSTGRESQL, Backoff

LOOK_EVERY_S = 2.0
# How soon the server notices that a host is gone, regardless of the system's defaults.
KEEPALIVES = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
TAKE = "SELECT pg_try_advisory_lock(hashtextextended('starlight device ' || %s, 0))"


class DeviceTakenError(Exception):
    """Another worker with this name is running; the message says what to do."""


class DeviceLease(BackgroundThread):
    """Holds the lease of a worker's device. If another worker has taken it during an outage, the process ends."""

    def __init__(self, engine: Engine, worker: str) -> None:
        super().__init__("device")
        self._engine = engine
        self._worker = worker
        self._connection: psycopg.Connection | None = None

    def take(self) -> None:
        """Take the device; wait while PostgreSQL is unreachable. Raises DeviceTakenError."""
        with Backoff(POSTGRESQL) as backoff:
            while not self.stopping.is_set():
                try:
                    self._connection = self._open()
                except psycopg.OperationalError as error:
                    self.stopping.wait(backoff.note_failure(error))
                else:
                    backoff.note_success()
                    return

    def run(self) -> None:
        """Hold the device until stopped; take it again after the connection was lost."""
        while not self.stopping.wait(LOOK_EVERY_S):
            try:
                if self._connection is not None:
                    self._connection.execute("SELECT 1")
            except psycopg.OperationalError:
                self.take()

    def stop(self) -> None:
        """Release the device."""
        super().stop()
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> psycopg.Connection:
        connection = open_own_connection(self._engine, name_application(f"starlight {self._worker}"))
        for setting, value in KEEPALIVES.items():
            connection.execute(f"SET {setting} = {value}")
        taken = connection.execute(TAKE, [self._worker]).fetchone()
        if taken is None or not taken[0]:
            connection.close()
            device, _, host = self._worker.partition("@")
            raise DeviceTakenError(
                f"a worker for {device} is already running on {host}: stop it, or choose another device "
                "(cpu1 is a second worker on the processor)"
            )
        return connection
