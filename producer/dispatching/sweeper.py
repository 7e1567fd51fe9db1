"""Deleting blobs that no job keeps, in a thread of the dispatcher. Several dispatchers may do so concurrently."""

import logging

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine

from storage.background import BackgroundThread
from storage.blobs import Blobs
from storage.canaries import delete_abandoned_canaries
from storage.database import work_in_rounds
from storage.retention import delete_released_blobs, end_expired_uploads, end_retention
from storage.schema.work import KeptBlobs
from storage.settings import Settings

LOOK_EVERY_S = 10.0

log = logging.getLogger(__name__)


class Sweeper(BackgroundThread):
    """Ends the retention of jobs' blobs, and deletes released blobs and abandoned canaries."""

    def __init__(self, engine: Engine, blobs: Blobs, settings: Settings) -> None:
        super().__init__("sweeper")
        self._engine = engine
        self._blobs = blobs
        self._settings = settings

    def run(self) -> None:
        """Sweep until stopped; wait while the database or the blob store is not available."""
        work_in_rounds(self._do_round, self.stopping)

    def _do_round(self) -> float:
        try:
            self.sweep()
        except (StoreError, OSError) as error:
            log.warning("released blobs cannot be deleted yet: %s", error)
        return LOOK_EVERY_S

    def sweep(self) -> int:
        """Delete everything that is due; return the number of deleted blobs. Raises what `obstore` raises."""
        while expired := end_expired_uploads(self._engine):
            log.warning("%d uploads expired", expired)
        if abandoned := delete_abandoned_canaries(self._engine):
            log.warning("%d abandoned jobs of canaries were deleted", abandoned)
        for kept, keep, retention in (
            (KeptBlobs.ALL, KeptBlobs.EVIDENCE, self._settings.blob_retention),
            (KeptBlobs.EVIDENCE, KeptBlobs.NONE, self._settings.evidence_retention),
        ):
            while end_retention(self._engine, kept, keep, retention) and not self.stopping.is_set():
                pass
        return sum(delete_released_blobs(self._engine, self._blobs))
