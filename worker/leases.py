"""Keeps the leases of running chunks alive, and the worker's own place among the live ones."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.background import BackgroundThread
from storage.chunks import Claim, renew_leases
from storage.outages import POSTGRESQL, Patience

RENEWALS_PER_LEASE = 4


class Leases(BackgroundThread):
    """One thread that renews, several times per lease and whenever it is told to hurry, what this process holds."""

    def __init__(self, engine: Engine, lease_s: float, report: Callable[[], None]) -> None:
        super().__init__("leases")
        self._engine = engine
        self._lease_s = lease_s
        self._report = report
        self._claims: dict[int, tuple[Claim, Future[None]]] = {}
        self._lock = threading.Lock()
        self._hurry = threading.Event()

    @contextmanager
    def keep(self, claim: Claim) -> "Iterator[Future[None]]":
        """Keep the claim's lease alive within the block; what it yields is done once the claim holds no more."""
        lost: Future[None] = Future()
        with self._lock:
            self._claims[id(claim)] = claim, lost
        try:
            yield lost
        finally:
            with self._lock:
                del self._claims[id(claim)]

    def list_held(self) -> list[Claim]:
        """Return the claims that are kept at the moment."""
        with self._lock:
            return [claim for claim, _ in self._claims.values()]

    def hurry(self) -> None:
        """Renew now: some claims may hold no more."""
        self._hurry.set()

    def wake(self) -> None:
        """Have `run` look at `stopping`."""
        self.hurry()

    def run(self) -> None:
        """Report and renew until the leases are stopped."""
        pause = self._lease_s / RENEWALS_PER_LEASE
        with Patience(POSTGRESQL) as patience:
            while not self._await_turn(pause):
                pause = self._lease_s / RENEWALS_PER_LEASE
                try:
                    self._report()
                    self._let_go(renew_leases(self._engine, self.list_held(), self._lease_s))
                except SQLAlchemyError as error:
                    pause = min(pause, patience.note_failure(error.__cause__ or error))
                else:
                    patience.note_success()

    def _await_turn(self, pause: float) -> bool:
        """Wait so long, or until it hurries; return whether to stop."""
        self._hurry.wait(pause)
        self._hurry.clear()
        return self.stopping.is_set()

    def _let_go(self, claims: Sequence[Claim]) -> None:
        """Tell those who scan these chunks that nobody wants the verdicts."""
        with self._lock:
            for claim in claims:
                _, lost = self._claims.get(id(claim), (claim, None))
                if lost is not None and not lost.done():
                    lost.set_result(None)
