"""Having exports made that keys of the API ask for, one at a time, each by a process of its own."""

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
    """Makes exports, and deletes those that have expired. Any number of processes may do so at once."""

    def __init__(self, engine: Engine, settings: Settings, environment: Mapping[str, str]) -> None:
        """Take the variables that tell a process which servers to use."""
        super().__init__("exports")
        self._engine = engine
        self._settings = settings
        self._environment = {**os.environ, **environment}

    def run(self) -> None:
        """Make and delete exports until stopped, waiting out a lost database."""
        work_in_rounds(self._do_round, self.stopping)

    def _do_round(self) -> float:
        self.delete_expired()
        return 0 if self.make_next() else LOOK_EVERY_S

    def delete_expired(self) -> None:
        """Delete the files of exports that are to go, and then these."""
        for export_id in list_deleted_exports(self._engine, self._settings.export_retention):
            try:
                delete_files(self._settings, export_id)
            except (StoreError, OSError) as error:
                log.warning("the files of an export are not deleted yet: %s", error)
            else:
                forget_export(self._engine, export_id)

    def make_next(self) -> bool:
        """Have the next export made; return whether there was one."""
        export = claim_export(self._engine)
        if export is None:
            return False
        if export.attempts > ATTEMPTS:
            finish_export(self._engine, export, f"what makes it ended {ATTEMPTS} times in the middle; see the log")
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
        """Store what became of an export."""
        if ended.code is None:
            with suppress(DBAPIError):
                release_export(self._engine, export)
        elif ended.code == 0:
            wait_out_outages(lambda: finish_export(self._engine, export))
        elif ended.code == FAILED:
            wait_out_outages(lambda: finish_export(self._engine, export, ended.told))
        elif ended.code == LATER:
            wait_out_outages(lambda: release_export(self._engine, export))
        elif ended.code != UNWANTED:
            # Its lease runs out, and the next attempt goes on behind the last file that is whole.
            log.warning("what makes an export ended with %d; it goes on in a minute", ended.code)
