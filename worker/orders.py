"""Receives notifications for this worker: chunks taken from it, draining, and waiting interactive chunks."""

from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from starlight_vocabulary.words import Priority
from storage.background import BackgroundThread
from storage.draining import is_draining
from storage.notifications import CANCELLED, DISPATCHED, DRAINING, Wakeup, listen
from worker.leases import Leases

# Orders that are given while the connection is lost are noticed after this long.
LOOK_EVERY_S = 1.0


class Orders(BackgroundThread):
    """One thread that listens for cancelled or requeued chunks, and for whether this worker is to drain.

    It calls `consume` repeatedly, with whether to take messages, and `note_interactive` when interactive chunks were
    dispatched.
    """

    def __init__(
        self,
        engine: Engine,
        worker: str,
        leases: Leases,
        consume: Callable[[bool], None],
        note_interactive: Callable[[], None],
    ) -> None:
        super().__init__("orders")
        self._engine = engine
        self._worker = worker
        self._leases = leases
        self._consume = consume
        self._note_interactive = note_interactive
        self._wakeup = Wakeup()

    def run(self) -> None:
        """Listen until stopped."""
        for heard in listen(self._engine, (CANCELLED, DRAINING, DISPATCHED), LOOK_EVERY_S, self._wakeup):
            if Priority.INTERACTIVE in heard:
                self._note_interactive()
                if len(heard) == 1:
                    continue
            if heard:
                self._leases.hurry()
            self._look()

    def wake(self) -> None:
        """Make `run` return."""
        self._wakeup.send()

    def _look(self) -> None:
        try:
            self._consume(not is_draining(self._engine, self._worker))
        except SQLAlchemyError:
            # The leases thread already logs this.
            return
