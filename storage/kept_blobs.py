"""Storing blobs together with who keeps them: an upload or a job.

A blob is in `blobs` and `job_blobs`, both committed, before its object is stored, and its row is locked while the
object is deleted (`storage.retention`): storing and deleting the same bytes exclude each other.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from sqlalchemy import Connection, Engine

from storage.blobs import Blobs
from storage.storage_limits import StorageLimits, check_free_bytes, check_stored_bytes

# Stores that `owner`, an upload or a job, keeps these blobs. To avoid deadlocks, all code locks these rows in one
# order.
KEEP_BLOBS = """
    WITH owner AS (
        {owner}
    ), stored AS (
        INSERT INTO blobs (sha256, size_bytes)
        SELECT sha256, size_bytes
        FROM unnest(CAST(:digests AS bytea[]), CAST(:sizes AS int8[])) AS listed (sha256, size_bytes) ORDER BY sha256
        ON CONFLICT (sha256) DO UPDATE SET released_at = NULL RETURNING sha256, size_bytes
    ), kept AS (
        INSERT INTO job_blobs (job_id, sha256) SELECT job_id, sha256 FROM owner, stored
        ON CONFLICT DO NOTHING RETURNING sha256
    )
    INSERT INTO submitters (name, stored_bytes)
    SELECT submitter, (SELECT coalesce(sum(size_bytes), 0) FROM stored JOIN kept USING (sha256)) FROM owner
    ON CONFLICT (name) DO UPDATE SET stored_bytes = submitters.stored_bytes + excluded.stored_bytes
    RETURNING stored_bytes
"""


def store_kept(
    engine: Engine,
    blobs: Blobs,
    images: Sequence[bytes],
    submitter: str,
    limits: StorageLimits,
    keep: Callable[[Connection, Mapping[str, object]], int],
) -> list[str]:
    """Store blobs; return their SHA-256 in hex.

    `keep` stores, with the parameters of `KEEP_BLOBS`, who keeps them, and returns the bytes that the submitter then
    stores. Raises its errors, StorageFullError and StoredBytesError; then none of them is stored.
    """
    free = blobs.count_free_bytes()
    if free is not None:
        check_free_bytes(free, limits.min_free_bytes)
    digests = [sha256(data).digest() for data in images]
    distinct = dict(zip(digests, images, strict=True))
    described = {"digests": list(distinct), "sizes": [len(data) for data in distinct.values()]}
    with engine.begin() as connection:
        check_stored_bytes(submitter, keep(connection, described), limits)
    for digest, data in distinct.items():
        blobs.put_as(digest.hex(), data)
    return [digest.hex() for digest in digests]
