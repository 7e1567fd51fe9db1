"""Renews the leases of running chunks, and the worker's entry among the live workers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.background import BackgroundThread
from storage.chunks import Claim, renew_leases
from storage.outages import POSTGRESQL, Backoff

RENEWALS_PER_LEASE = 4


class Leases(BackgroundThread):
    """One thread that renews the claims of this process, several times per lease and whenever `hurry` is called."""

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
        """Renew the claim's lease within the block. The yielded future is done once the claim is lost."""
        lost: Future[None] = Future()
        with self._lock:
            self._claims[id(claim)] = claim, lost
        try:
            yield lost
        finally:
            with self._lock:
                del self._claims[id(claim)]

    def list_held(self) -> list[Claim]:
        """Return the claims that are currently kept."""
        with self._lock:
            return [claim for claim, _ in self._claims.values()]

    def hurry(self) -> None:
        """Renew now: some claims may have been lost."""
        self._hurry.set()

    def wake(self) -> None:
        """Make `run` check `stopping`."""
        self.hurry()

    def run(self) -> None:
        """Report and renew until the leases are stopped."""
        pause = self._lease_s / RENEWALS_PER_LEASE
        with Backoff(POSTGRESQL) as backoff:
            while not self._await_turn(pause):
                pause = self._lease_s / RENEWALS_PER_LEASE
                try:
                    self._report()
                    self._let_go(renew_leases(self._engine, self.list_held(), self._lease_s))
                except SQLAlchemyError as error:
                    pause = min(pause, backoff.note_failure(error.__cause__ or error))
                else:
                    backoff.note_success()

    def _await_turn(self, pause: float) -> bool:
        """Wait for `pause` seconds, or until `hurry` is called; return whether to stop."""
        self._hurry.wait(pause)
        self._hurry.clear()
        return self.stopping.is_set()

    def _let_go(self, claims: Sequence[Claim]) -> None:
        """Tell the threads that scan these chunks that their claims are lost."""
        with self._lock:
            for claim in claims:
                _, lost = self._claims.get(id(claim), (claim, None))
                if lost is not None and not lost.done():
                    lost.set_result(None)
