"""Running the exports that API keys requested, one at a time, each in a separate process."""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.dispatching.leased_process import Ended, run_leased
from producer.export_jobs import FAILED, delete_files
from producer.leased_work import LATER, UNWANTED
from storage.background import BackgroundThread
from storage.database import wait_out_outages, work_in_rounds
from storage.export_jobs import (
    ATTEMPTS,
    ExportJob,
    claim_export,
    finish_export,
    forget_export,
    list_deleted_exports,
    release_export,
    renew_export,
)
from storage.settings import Settings

LOOK_EVERY_S = 2.0

log = logging.getLogger(__name__)


class Exporting(BackgroundThread):
    """Runs exports, and deletes expired ones. Several dispatchers may do so concurrently."""

    def __init__(self, engine: Engine, settings: Settings, environment: Mapping[str, str]) -> None:
        """`environment` has the variables with the addresses of the servers, for the started processes."""
        super().__init__("exports")
        self._engine = engine
        self._settings = settings
        self._environment = {**os.environ, **environment}

    def run(self) -> None:
        """Run and delete exports until stopped; wait while the database is not available."""
        work_in_rounds(self._do_round, self.stopping)

    def _do_round(self) -> float:
        self.delete_expired()
        return 0 if self.make_next() else LOOK_EVERY_S

    def delete_expired(self) -> None:
        """Delete the files of expired and deleted exports, and then their rows."""
        for export_id in list_deleted_exports(self._engine, self._settings.export_retention):
            try:
                delete_files(self._settings, export_id)
            except (StoreError, OSError) as error:
                log.warning("the files of an export cannot be deleted yet: %s", error)
            else:
                forget_export(self._engine, export_id)

    def make_next(self) -> bool:
        """Run the next export; return whether there was one."""
        export = claim_export(self._engine)
        if export is None:
            return False
        if export.attempts > ATTEMPTS:
            finish_export(self._engine, export, f"its process crashed {ATTEMPTS} times; see the log")
            return True
        ended = run_leased(
            "producer.export_jobs",
            export.id,
            export.attempts,
            environment=self._environment,
            renew=partial(renew_export, self._engine, export),
            stopping=self.stopping,
        )
        if ended is not None:
            self._note_end(export, ended)
        return True

    def _note_end(self, export: ExportJob, ended: Ended) -> None:
        """Store the result of an export."""
        if ended.code is None:
            with suppress(DBAPIError):
                release_export(self._engine, export)
        elif ended.code == 0:
            wait_out_outages(lambda: finish_export(self._engine, export))
        elif ended.code == FAILED:
            wait_out_outages(lambda: finish_export(self._engine, export, ended.output))
        elif ended.code == LATER:
            wait_out_outages(lambda: release_export(self._engine, export))
        elif ended.code != UNWANTED:
            # When its lease runs out, the next attempt continues after the last complete file.
            log.warning("the process of an export ended with status %d; it is retried in a minute", ended.code)
