"""What is ordered while this worker runs: that chunks were taken from it, and that it drains."""

from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.background import BackgroundThread
from storage.database import CANCELLED, DRAINING, Wakeup, listen
from storage.draining import is_draining
from worker.leases import Leases

# What is ordered while the connection is lost is seen after this long.
LOOK_EVERY_S = 1.0


class Orders(BackgroundThread):
    """One thread that listens for what is cancelled or taken back, and for whether this worker is to drain.

    `consume` is told again and again whether to take messages.
    """

    def __init__(self, engine: Engine, worker: str, leases: Leases, consume: Callable[[bool], None]) -> None:
        super().__init__("orders")
        self._engine = engine
        self._worker = worker
        self._leases = leases
        self._consume = consume
        self._wakeup = Wakeup()

    def run(self) -> None:
        """Listen until stopped."""
        for heard in listen(self._engine, (CANCELLED, DRAINING), LOOK_EVERY_S, self._wakeup):
            if heard:
                self._leases.hurry()
            self._look()

    def wake(self) -> None:
        """Have `run` end."""
        self._wakeup.send()

    def _look(self) -> None:
        try:
            self._consume(not is_draining(self._engine, self._worker))
        except SQLAlchemyError:
            # The thread of the leases says so already.
            return
