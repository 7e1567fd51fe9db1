"""Having exports made that keys of the API ask for, one at a time, each by a process of its own."""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.export_jobs import FAILED, LATER, UNWANTED, delete_files
from storage.background import BackgroundThread
from storage.database import may_succeed_later, wait_out_outages, work_in_rounds
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
RENEW_EVERY_S = 1.0

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
        command = [sys.executable, "-m", "producer.export_jobs", str(export.id), str(export.attempts), str(os.getpid())]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                self._watch(process, export)
            finally:
                if process.poll() is None:
                    process.kill()
        return True

    def _watch(self, process: "subprocess.Popen[str]", export: ExportJob) -> None:
        """Keep the lease while the process runs, and store what became of it."""
        while True:
            try:
                told, _ = process.communicate(timeout=RENEW_EVERY_S)
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    process.kill()
                    process.communicate()
                    with suppress(DBAPIError):
                        release_export(self._engine, export)
                    return
                if not self._renew(export):
                    return
            else:
                break
        if process.returncode == 0:
            wait_out_outages(lambda: finish_export(self._engine, export))
        elif process.returncode == FAILED:
            wait_out_outages(lambda: finish_export(self._engine, export, told.strip()))
        elif process.returncode == LATER:
            wait_out_outages(lambda: release_export(self._engine, export))
        elif process.returncode != UNWANTED:
            # Its lease runs out, and the next attempt goes on behind the last file that is whole.
            log.warning("what makes an export ended with %d; it goes on in a minute", process.returncode)

    def _renew(self, export: ExportJob) -> bool:
        try:
            return renew_export(self._engine, export)
        except DBAPIError as error:
            if not may_succeed_later(error):
                raise
            # Where it has run out until the database is back, others make the export.
            return True
