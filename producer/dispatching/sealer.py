"""Sealing jobs that have ended, beside the dispatcher. Any number of processes may do so at once."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from storage.background import BackgroundThread
from storage.database import may_succeed_later
from storage.outages import POSTGRESQL, Patience
from storage.seals import seal_ended_jobs

LOOK_EVERY_S = 2.0


class Sealer(BackgroundThread):
    """Stores a digest of the verdicts of each job once it has ended."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("sealer")
        self._engine = engine

    def run(self) -> None:
        """Seal until stopped, waiting out a lost database."""
        with Patience(POSTGRESQL) as database:
            while not self.stopping.is_set():
                pause_s = LOOK_EVERY_S
                try:
                    if seal_ended_jobs(self._engine):
                        pause_s = 0
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    pause_s = database.note_failure(error.orig or error)
                else:
                    database.note_success()
                self.stopping.wait(pause_s)
