"""The lease of a device: one worker of a name at a time, on one installation.

It is an advisory lock of a connection of its own to PostgreSQL, so it ends with the process, however that dies: at once
where the machine lives on, and after half a minute where it does not, since the server asks whether somebody is there.
"""

import psycopg
from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.database import name_application, open_own_connection
from storage.outages import POSTGRESQL, Patience

LOOK_EVERY_S = 2.0
# So soon is a host that is gone noticed, whatever the system's own times are.
KEEPALIVES = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
TAKE = "SELECT pg_try_advisory_lock(hashtextextended('starlight device ' || %s, 0))"


class DeviceTakenError(Exception):
    """Another worker of this name runs; the message says what to do."""


class DeviceLease(BackgroundThread):
    """Holds the device of a worker; one that finds it taken, also after an outage, ends its process."""

    def __init__(self, engine: Engine, worker: str) -> None:
        super().__init__("device")
        self._engine = engine
        self._worker = worker
        self._connection: psycopg.Connection | None = None

    def take(self) -> None:
        """Take the device, waiting out lost servers; raises DeviceTakenError."""
        with Patience(POSTGRESQL) as patience:
            while not self.stopping.is_set():
                try:
                    self._connection = self._open()
                except psycopg.OperationalError as error:
                    self.stopping.wait(patience.note_failure(error))
                else:
                    patience.note_success()
                    return

    def run(self) -> None:
        """Hold the device until stopped, and take it again after a lost connection."""
        while not self.stopping.wait(LOOK_EVERY_S):
            try:
                if self._connection is not None:
                    self._connection.execute("SELECT 1")
            except psycopg.OperationalError:
                self.take()

    def stop(self) -> None:
        """Let go of the device."""
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
                f"a worker for {device} runs on {host} already: end it, or name another device "
                "(cpu1 is a second worker on the processor)"
            )
        return connection
