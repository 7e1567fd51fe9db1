"""Blobs stored while the sources of a job are listed: they belong to the job immediately."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine, text

from storage.blobs import Blobs
from storage.kept_blobs import KEEP_BLOBS, store_kept
from storage.listings import Listing, ListingLostError
from storage.storage_limits import StorageLimits

# The job, unless it has ended, because its blobs may then be deleted already.
KEEP_FOR_JOB = text(
    KEEP_BLOBS.format(
        owner="""
        UPDATE jobs SET kept_blobs = 'all' WHERE id = :id AND finished_at IS NULL
        RETURNING id AS job_id, submitter
        """
    )
)


class ListedBlobs:
    """The blobs of one listing."""

    def __init__(self, engine: Engine, blobs: Blobs, listing: Listing, limits: StorageLimits) -> None:
        self._engine = engine
        self._blobs = blobs
        self._listing = listing
        self._limits = limits

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these as a blob of the job; return their SHA-256 in hex.

        Raises StorageFullError, StoredBytesError and ListingLostError; then none of them is stored.
        """

        def keep(connection: Connection, described: Mapping[str, object]) -> int:
            stored = connection.execute(KEEP_FOR_JOB, {"id": self._listing.job_id, **described}).scalar()
            if stored is None:
                raise ListingLostError
            return int(stored)

        return store_kept(self._engine, self._blobs, images, self._listing.submitter, self._limits, keep)
