"""Submitting what arrives in a source.

The job and the progress of the watch are stored in one transaction, so everything is submitted exactly once even if the
process is killed.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy import Engine

from producer.sources.errors import SourceAwayError
from producer.watching.source import Arrivals, Source
from starlight_vocabulary.job import JobOptions
from storage.blobs import Blobs
from storage.database import wait_out_outages
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.submission import EmptyJobError, Submission
from storage.uploads import Upload
from storage.watched_files import SeenNames, forget_gone_files, is_comparison_due
from storage.watches import find_new, note_arrivals, open_watch, refresh_watch

log = logging.getLogger(__name__)


class Watcher:
    """Watches one source for a submitter. It waits while the database is not available."""

    def __init__(self, engine: Engine, settings: Settings, source: Source, options: JobOptions) -> None:
        self._engine = engine
        self._settings = settings
        self._source = source
        self._options = options
        self._blobs = Blobs(settings.blobs())
        self._seen: SeenNames | None = None
        self._watch = wait_out_outages(partial(open_watch, engine, source.uri, settings.submitter))

    @property
    def cursor(self) -> str | None:
        """The cursor that was stored last, None if there is none."""
        return self._watch.cursor

    def find_new(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Return the files, by URI, that were not submitted in these versions."""
        if self._seen is not None:
            self._seen.add(versions)
        return wait_out_outages(partial(find_new, self._engine, self._watch, versions))

    def run(self, show: Callable[[Submission], object]) -> None:
        """Submit what arrives, for ever; `show` is called with each job.

        Raises what `run_once` raises, except SourceAwayError.
        """
        while True:
            try:
                self.run_once(show)
            except SourceAwayError as error:
                log.warning("%s is not available, trying again later: %s", self._source.uri, error)
            self._source.wait()

    def run_once(self, show: Callable[[Submission], object]) -> None:
        """Submit what the source finds now; raises what the source raises, WatchTakenError and StorageFullError."""
        compares = wait_out_outages(partial(is_comparison_due, self._engine, self._watch))
        self._seen = SeenNames() if compares else None
        for arrivals in self._source.find(self):
            submission = self._submit(arrivals)
            if submission is not None:
                show(submission)
        if compares and self._source.saw_everything is not False:
            seen = self._seen if self._source.saw_everything else None
            wait_out_outages(partial(forget_gone_files, self._engine, self._watch, seen))

    def _submit(self, arrivals: Arrivals) -> Submission | None:
        """Submit arrivals and return the job; None if there were no images, or the commit's confirmation was lost."""
        tries = 0

        def attempt() -> Submission | None:
            nonlocal tries
            tries += 1
            if tries > 1 and refresh_watch(self._engine, self._watch):
                return None
            submission = self._store(arrivals)
            refresh_watch(self._engine, self._watch)
            return submission

        return wait_out_outages(attempt)

    def _store(self, arrivals: Arrivals) -> Submission | None:
        note = partial(
            note_arrivals,
            watch=self._watch,
            cursor=arrivals.cursor,
            versions=arrivals.versions,
            are_gone=arrivals.are_gone,
        )
        limits = StorageLimits(None, self._settings.min_free_bytes)
        with Upload(self._engine, self._blobs, self._settings.submitter, limits) as upload:
            try:
                return upload.submit(
                    arrivals.refer(upload),
                    self._options,
                    chunk_size=self._settings.chunk_size,
                    also=lambda connection, job_id: note(connection),
                )
            except EmptyJobError:
                with self._engine.begin() as connection:
                    note(connection)
                return None
