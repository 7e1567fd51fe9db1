"""Listing the sources of a job, in a process of its own: `python -m producer.listing_jobs JOB HOLDER PARENT`."""

import hashlib
import logging
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine

from producer.chain.errors import ChainError, NotOnChainError, UnreadableBlockError
from producer.job_sources import SourcePart, list_parts, select
from producer.leased_work import UNWANTED, end_with_code, start_work
from producer.sources.archives import ArchiveTooLargeError
from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.expansion import Sources
from producer.sources.known_versions import KnownVersions
from producer.sources.permitted import ForbiddenError, Permitted
from storage.blobs import Blobs
from storage.bucket_stores import explain_refusal
from storage.buckets import Location
from storage.listed_blobs import ListedBlobs
from storage.listed_versions import list_versions
from storage.listings import (
    Listing,
    ListingLostError,
    ListingProgress,
    append_references,
    fail_listing,
    find_running_listing,
    finish_listing,
    release_listing,
)
from storage.settings import Settings
from storage.storage_limits import StorageFullError, StorageLimits, StoredBytesError
from storage.submission import Reference
from storage.waiting import TooManyWaitingError, WaitingLimits

# Chunks stored per transaction; fewer after this many seconds, so that the job visibly grows.
CHUNKS_AT_ONCE: Final = 8
APPEND_EVERY_S: Final = 1.0
# Length of a turn, after which other listings run.
TURN_S: Final = 20.0
# Pause while the limit of waiting images is reached. If a source is unavailable it doubles with each attempt.
PAUSE_S: Final = 5.0
ATTEMPTS: Final = 5
# Longer reasons are cut, in characters: they may quote untrusted input.
MAX_REASON: Final = 2000

log = logging.getLogger(__name__)


class TurnOverError(Exception):
    """The turn is over; what was found is stored."""


class Lister:
    """Lists the sources of one job; `attempts` counts the attempts since it last made progress."""

    def __init__(self, engine: Engine, settings: Settings, listing: Listing, *, turn_s: float = TURN_S) -> None:
        self._engine = engine
        self._settings = settings
        self._listing = listing
        self._found = listing.found
        self._limits = WaitingLimits(settings.max_waiting_images_per_key, settings.max_waiting_images)
        # A group that exceeds the limits of waiting images could never be stored. One place is taken by the
        # reference that stands for the rest of the listing.
        self._most = min(CHUNKS_AT_ONCE * settings.chunk_size, max(1, min(self._limits.own, self._limits.all) - 1))
        self._group: list[Reference] = []
        self._append_at = self._turn_ends = 0.0
        self._turn_s = turn_s
        self._name = name_source(listing)
        self.attempts = listing.attempts

    def run(self) -> None:
        """List until the end, the limit of waiting images or the end of the turn, and store the result.

        Raises ListingLostError and DBAPIError.
        """
        try:
            self._list()
        except TurnOverError:
            release_listing(self._engine, self._listing)
        except TooManyWaitingError as error:
            release_listing(self._engine, self._listing, PAUSE_S, str(error))
        except (SourceAwayError, StorageFullError) as error:
            self._try_later(str(error))
        except StoreError as error:
            self._try_later(f"the blob store does not answer: {explain_refusal(error)}")
        except (NotOnChainError, UnreadableBlockError, SourceError, ArchiveTooLargeError, StoredBytesError) as error:
            self._fail(str(error))
        except ChainError as error:
            # Only the log gets the error: it may contain the node's address.
            log.warning("the chain cannot be read: %s", error, extra={"job": self._listing.job_id})
            self._try_later("the Bitcoin node cannot be read: the log says why")

    def _list(self) -> None:
        wanted, progress = self._listing.sources, self._listing.progress
        known = None if wanted.since is None else KnownVersions(list_versions(self._engine, wanted.since))
        self._turn_ends = time.monotonic() + self._turn_s
        self._append_at = time.monotonic() + APPEND_EVERY_S
        continued = progress.done == 0
        for part in list_parts(wanted, self._open_sources(), known, progress):
            self._name = part.name
            self._list_part(part, ListingProgress() if continued else progress)
            continued, progress = True, part.end
            self._append_if_due(progress)
        if not continued:
            raise self._refuse_change()
        if self._group:
            self._append(progress)
        if self._found == 0 and wanted.since is None:
            raise SourceError("no image was found: check the names and the patterns")
        finish_listing(self._engine, self._listing)

    def _list_part(self, part: SourcePart, before: ListingProgress) -> None:
        """List a part, skipping what `before` says is stored; raises SourceError if the part has changed since."""
        digest = hashlib.sha256()
        done = 0
        for reference in islice(part.references, before.done):
            digest.update(write_identity(reference))
            done += 1
        if before.done and digest.hexdigest() != before.digest:
            raise self._refuse_change()
        for reference in part.references:
            self._group.append(reference)
            digest.update(write_identity(reference))
            done += 1
            self._append_if_due(replace(part.start, done=done, digest=digest.hexdigest()))

    def _append_if_due(self, progress: ListingProgress) -> None:
        if len(self._group) < self._most and time.monotonic() < self._append_at:
            return
        # An empty group is stored too: its progress saves searching the same names again.
        self._append(progress)
        if time.monotonic() >= self._turn_ends:
            raise TurnOverError

    def _append(self, progress: ListingProgress) -> None:
        append_references(
            self._engine,
            self._listing,
            self._group,
            progress,
            chunk_size=self._settings.chunk_size,
            limits=self._limits,
        )
        self._found += len(self._group)
        self._group = []
        self.attempts = 0
        self._append_at = time.monotonic() + APPEND_EVERY_S

    def _open_sources(self) -> Sources:
        permitted = Permitted(self._settings.api_roots, self._may_name)

        def check(uri: str) -> str:
            try:
                return permitted.check(uri)
            except ForbiddenError as error:
                raise SourceError(f"the manifest {self._name!r} names {uri!r}, which {error}") from error

        limits = StorageLimits(self._settings.max_stored_bytes_per_key, self._settings.min_free_bytes)
        blobs = ListedBlobs(self._engine, Blobs(self._settings.blobs()), self._listing, limits)
        return Sources(blobs, self._settings, select(self._listing.sources), check=check)

    def _may_name(self, location: Location) -> bool:
        return self._listing.buckets is None or location.lies_in(self._listing.buckets)

    def _try_later(self, reason: str) -> None:
        if self.attempts >= ATTEMPTS:
            self._fail(f"{reason}; gave up after {ATTEMPTS} attempts: submit it again later")
            return
        release_listing(self._engine, self._listing, PAUSE_S * 2**self.attempts, reason, counts=True)

    def _fail(self, reason: str) -> None:
        if self._group:
            with suppress(TooManyWaitingError):
                self._append(self._listing.progress)
        fail_listing(self._engine, self._listing, self._name, reason[:MAX_REASON])

    def _refuse_change(self) -> SourceError:
        return SourceError(f"{self._name!r} changed while it was listed: submit it again")


def name_source(listing: Listing) -> str:
    """Return the source that a listing is currently at."""
    names = [*listing.sources.uris, *listing.sources.manifests]
    return names[min(listing.progress.source, len(names) - 1)]


def write_identity(reference: Reference) -> bytes:
    """Return what a digest of references includes of this one."""
    return f"{reference if isinstance(reference, str) else reference.uri}\n".encode()


def main() -> None:
    """List the sources of a job; the exit code says how it ended."""
    job_id, holder, parent = sys.argv[1:]
    engine, settings = start_work("lister", parent, pool_size=2)
    listing = find_running_listing(engine, uuid.UUID(job_id), uuid.UUID(holder))
    if listing is None:
        sys.exit(UNWANTED)
    with end_with_code("the sources of a job are not listed", job=listing.job_id):
        try:
            Lister(engine, settings, listing).run()
        except ListingLostError:
            sys.exit(UNWANTED)


if __name__ == "__main__":
    main()
