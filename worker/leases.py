"""Keeps the leases of running chunks alive, and the worker's own place among the live ones."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.background import BackgroundThread
from storage.chunks import Claim, renew_leases
from storage.outages import POSTGRESQL, Patience

RENEWALS_PER_LEASE = 4


class Leases(BackgroundThread):
    """One thread that renews, several times per lease, what this process holds."""

    def __init__(self, engine: Engine, lease_s: float, report: Callable[[], None]) -> None:
        super().__init__("leases")
        self._engine = engine
        self._lease_s = lease_s
        self._report = report
        self._claims: dict[int, Claim] = {}
        self._lock = threading.Lock()

    @contextmanager
    def keep(self, claim: Claim) -> Iterator[None]:
        """Keep the claim's lease alive within the block."""
        with self._lock:
            self._claims[id(claim)] = claim
        try:
            yield
        finally:
            with self._lock:
                del self._claims[id(claim)]

    def list_held(self) -> list[Claim]:
        """Return the claims that are kept at the moment."""
        with self._lock:
            return list(self._claims.values())

    def run(self) -> None:
        """Report and renew until the leases are stopped."""
        pause = self._lease_s / RENEWALS_PER_LEASE
        with Patience(POSTGRESQL) as patience:
            while not self.stopping.wait(pause):
                pause = self._lease_s / RENEWALS_PER_LEASE
                try:
                    self._report()
                    renew_leases(self._engine, self.list_held(), self._lease_s)
                except SQLAlchemyError as error:
                    pause = min(pause, patience.note_failure(error.__cause__ or error))
                else:
                    patience.note_success()
