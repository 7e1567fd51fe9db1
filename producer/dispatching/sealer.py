"""Sealing ended jobs, in a thread of the dispatcher. Several dispatchers may do so concurrently."""

from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.database import work_in_rounds
from storage.seals import seal_ended_jobs

LOOK_EVERY_S = 2.0


class Sealer(BackgroundThread):
    """Stores a digest of the verdicts of each job after it has ended."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("sealer")
        self._engine = engine

    def run(self) -> None:
        """Seal jobs until stopped; wait while the database is not available."""
        work_in_rounds(lambda: 0 if seal_ended_jobs(self._engine) else LOOK_EVERY_S, self.stopping)
