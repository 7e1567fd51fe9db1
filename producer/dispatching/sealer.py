"""Sealing jobs that have ended, beside the dispatcher. Any number of processes may do so at once."""

from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.database import work_in_rounds
from storage.seals import seal_ended_jobs

LOOK_EVERY_S = 2.0


class Sealer(BackgroundThread):
    """Stores a digest of the verdicts of each job once it has ended."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("sealer")
        self._engine = engine

    def run(self) -> None:
        """Seal until stopped, waiting out a lost database."""
        work_in_rounds(lambda: 0 if seal_ended_jobs(self._engine) else LOOK_EVERY_S, self.stopping)
