"""Keeps the leases of running chunks alive, and the worker's own place among the live ones."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.chunks import Claim, renew_leases
from storage.outages import POSTGRESQL, Patience

RENEWALS_PER_LEASE = 4


class Leases:
    """One thread that renews, several times per lease, what this process holds."""

    def __init__(self, engine: Engine, lease_s: float, report: Callable[[], None]) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._report = report
        self._claims: dict[int, Claim] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    @contextmanager
    def kept(self, claim: Claim) -> Iterator[None]:
        """Keep the claim's lease alive within the block."""
        with self._lock:
            self._claims[id(claim)] = claim
        try:
            yield
        finally:
            with self._lock:
                del self._claims[id(claim)]

    def held(self) -> list[Claim]:
        """Return the claims that are kept at the moment."""
        with self._lock:
            return list(self._claims.values())

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._lease_s / RENEWALS_PER_LEASE
        with Patience(POSTGRESQL) as patience:
            while not self._ending.wait(pause):
                pause = self._lease_s / RENEWALS_PER_LEASE
                try:
                    self._report()
                    renew_leases(self._engine, self.held(), self._lease_s)
                except SQLAlchemyError as error:
                    pause = min(pause, patience.failed(error.__cause__ or error))
                else:
                    patience.over()
