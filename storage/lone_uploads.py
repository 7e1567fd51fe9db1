"""Lone images, one a request, taken in together: what each of them costs alone is paid once for all."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import Engine, text

from starlight_vocabulary.words import Priority
from storage.blobs import Blobs, refer_to_blob
from storage.database import SUBMITTED
from storage.jobs import UploadExpiredError
from storage.retention import end_uploads
from storage.totals import Total, count_one, raise_totals
from storage.uploads import LEASE_S, StorageLimits, check_free_bytes, check_stored_bytes
from storage.waiting import WaitingLimits, find_room

PRIORITY: Final = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class LoneImage:
    """An image of a request, and the job that it becomes.

    A `threshold` of None means the model's own. `traceparent` is the trace of the request, None where it is not traced.
    """

    submitter: str
    name: str
    data: bytes
    threshold: float | None
    traceparent: str | None = None


# Their jobs' uploads, each with its blob. Rows are locked in one order by all who lock several of them: blobs before
# submitters.
KEEP_LONE_BLOBS = text("""
    WITH listed AS MATERIALIZED (
        SELECT uuidv7() AS job_id, listed.*
        FROM unnest(CAST(:submitters AS text[]), CAST(:digests AS bytea[]), CAST(:sizes AS int8[]))
            WITH ORDINALITY AS listed (submitter, sha256, size_bytes, number)
    ), begun AS (
        INSERT INTO uploads (job_id, submitter, expires_at)
        SELECT job_id, submitter, now() + make_interval(secs => :lease_s) FROM listed
    ), stored AS (
        INSERT INTO blobs (sha256, size_bytes) SELECT DISTINCT sha256, size_bytes FROM listed ORDER BY sha256
        ON CONFLICT (sha256) DO UPDATE SET released_at = NULL RETURNING sha256
    ), kept AS (
        INSERT INTO job_blobs (job_id, sha256) SELECT job_id, sha256 FROM listed JOIN stored USING (sha256) RETURNING 1
    ), counted AS (
        INSERT INTO submitters (name, stored_bytes)
        SELECT submitter, sum(size_bytes) FROM listed, (SELECT count(*) FROM kept) AS stored_first
        GROUP BY submitter ORDER BY submitter
        ON CONFLICT (name) DO UPDATE SET stored_bytes = submitters.stored_bytes + excluded.stored_bytes
        RETURNING name, stored_bytes
    )
    SELECT job_id, submitter, stored_bytes FROM listed JOIN counted ON name = submitter ORDER BY number
""")

# Their jobs, with a chunk each, and the end of their uploads; dispatchers hear of it at the commit.
SUBMIT_LONE_JOBS = text("""
    WITH listed AS (
        SELECT * FROM unnest(
            CAST(:job_ids AS uuid[]), CAST(:submitters AS text[]), CAST(:refs AS text[]), CAST(:thresholds AS float8[]),
            CAST(:traceparents AS text[])
        ) AS listed (job_id, submitter, ref, threshold, traceparent)
    ), uploaded AS (
        DELETE FROM uploads USING listed WHERE uploads.job_id = listed.job_id RETURNING listed.*
    ), created AS (
        INSERT INTO jobs (id, submitter, priority, threshold, follow_links, kept_blobs, total)
        SELECT job_id, submitter, :priority, threshold, false, 'all', 1 FROM uploaded
    ), queued AS (
        INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images, traceparent)
        SELECT job_id, submitter, :priority, 0, ARRAY[ref], 1, traceparent FROM uploaded
    )
    SELECT count(*), pg_notify(:channel, '') FROM uploaded
""")


def submit_lone_images(
    engine: Engine,
    blobs: Blobs,
    images: Sequence[LoneImage],
    storage_limits: StorageLimits,
    waiting_limits: WaitingLimits,
) -> list[uuid.UUID]:
    """Store each of these images and a job of it alone; return the jobs, in order.

    Raises TooManyWaitingError, StorageFullError and StoredBytesError where there is no room for one of them, and
    UploadExpiredError where storing takes longer than an upload may; then none is stored.
    """
    free = blobs.count_free_bytes()
    if free is not None:
        check_free_bytes(free, storage_limits.min_free_bytes)
    digests = [sha256(image.data).digest() for image in images]
    job_ids = _keep_blobs(engine, images, digests, storage_limits, waiting_limits)
    try:
        for digest, image in zip(digests, images, strict=True):
            blobs.put_as(digest.hex(), image.data)
        _submit_jobs(engine, images, digests, job_ids)
    except BaseException:
        end_uploads(engine, job_ids)
        raise
    return job_ids


def _keep_blobs(
    engine: Engine,
    images: Sequence[LoneImage],
    digests: Sequence[bytes],
    storage_limits: StorageLimits,
    waiting_limits: WaitingLimits,
) -> list[uuid.UUID]:
    submitters = [image.submitter for image in images]
    with engine.begin() as connection:
        for submitter, count in Counter(submitters).items():
            find_room(connection, submitter, waiting_limits).check(count)
        kept = connection.execute(
            KEEP_LONE_BLOBS,
            {
                "submitters": submitters,
                "digests": list(digests),
                "sizes": [len(image.data) for image in images],
                "lease_s": LEASE_S,
            },
        ).all()
        for row in kept:
            check_stored_bytes(row.submitter, row.stored_bytes, storage_limits)
    return [row.job_id for row in kept]


def _submit_jobs(
    engine: Engine, images: Sequence[LoneImage], digests: Sequence[bytes], job_ids: Sequence[uuid.UUID]
) -> None:
    with engine.begin() as connection:
        uploaded, _ = connection.execute(
            SUBMIT_LONE_JOBS,
            {
                "job_ids": list(job_ids),
                "submitters": [image.submitter for image in images],
                "refs": [
                    refer_to_blob(digest.hex(), image.name) for digest, image in zip(digests, images, strict=True)
                ],
                "thresholds": [image.threshold for image in images],
                "traceparents": [image.traceparent for image in images],
                "priority": PRIORITY,
                "channel": SUBMITTED,
            },
        ).one()
        if uploaded < len(images):
            raise UploadExpiredError
        raise_totals(connection, count_one(Total.IMAGES_SUBMITTED, by=len(images)))
