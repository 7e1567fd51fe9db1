"""Creating partitions of verdicts before they are needed, and dropping old ones, in a thread of the dispatcher.

Several dispatchers may do so concurrently.
"""

import logging
import math
import time
from datetime import timedelta

from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.database import work_in_rounds
from storage.partitions import PartitionError, analyse_partitions, make_partition_ahead, read_time
from storage.purging import purge_partitions

LOOK_EVERY_S = 10.0
# Less often, since the check reads all jobs of a month.
PURGE_EVERY_S = 3600.0

log = logging.getLogger(__name__)


class PartitionKeeper(BackgroundThread):
    """Creates partitions of `verdicts` ahead of time, and drops those whose jobs all ended before `retention`."""

    def __init__(self, engine: Engine, retention: timedelta | None) -> None:
        super().__init__("partition keeper")
        self._engine = engine
        self._retention = retention
        self._purged_at = -math.inf

    def run(self) -> None:
        """Maintain partitions until stopped; wait while the database is not available."""
        work_in_rounds(self._do_round, self.stopping)

    def _do_round(self) -> float:
        try:
            self.keep()
            if time.monotonic() > self._purged_at + PURGE_EVERY_S:
                self.purge()
                self._purged_at = time.monotonic()
        except PartitionError as error:
            log.warning("partitions of verdicts cannot be maintained: %s", error)
        return LOOK_EVERY_S

    def keep(self) -> None:
        """Create partitions ahead of time, and update statistics; raises PartitionError."""
        while name := make_partition_ahead(self._engine):
            log.info("the partition %s was created", name)
        analyse_partitions(self._engine)

    def purge(self) -> None:
        """Drop partitions whose jobs all ended before the retention, with these jobs; raises PartitionError."""
        if self._retention is not None:
            for _ in purge_partitions(self._engine, read_time(self._engine) - self._retention):
                if self.stopping.is_set():
                    return
