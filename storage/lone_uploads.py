"""Single images of concurrent requests, stored together: the fixed costs are paid once for all of them."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Engine, text

from storage.blobs import Blobs, refer_to_blob
from storage.dispatch import (
    LONE_AT_ONCE,
    LONE_BYTES,
    LONE_MESSAGES,
    LONE_PATIENCE_S,
    LONE_PRIORITY,
    NOTIFY_WORKERS,
    DispatchedChunk,
)
from storage.notifications import SUBMITTED
from storage.retention import end_uploads
from storage.storage_limits import StorageLimits, check_free_bytes, check_stored_bytes
from storage.submission import UploadExpiredError
from storage.totals import Total, count_one, raise_totals
from storage.uploads import LEASE_S
from storage.waiting import WaitingLimits, find_room
from storage.workers import SILENT_LEASES


@dataclass(frozen=True, slots=True)
class LoneImage:
    """An image of a request, and the job that it becomes.

    A `threshold` of None means the model's own. `traceparent` is the trace of the request, None if it is not traced.
    """

    submitter: str
    name: str
    data: bytes
    threshold: float | None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """The dispatchers' limits: chunks in Redis per live worker, and the lease that defines live workers."""

    window: int
    lease_s: float


# Everything is left to dispatchers.
NONE_AT_ONCE = DispatchLimits(0, 0.0)


# Inserts the uploads of the jobs, each with its blob. To avoid deadlocks, all code that locks several rows does so in
# one order: blobs before submitters.
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

# Inserts the jobs with one chunk each, and ends their uploads. A chunk is dispatched here if its submitter has no
# waiting chunks, few messages in flight and no pause, while half of the window is free. Small images share a message:
# scanned together, each costs a fraction of what it costs alone.
# Dispatchers are notified of the other chunks at the commit.
SUBMIT_LONE_JOBS = text(f"""
    WITH listed AS (
        SELECT * FROM unnest(
            CAST(:job_ids AS uuid[]), CAST(:submitters AS text[]), CAST(:refs AS text[]), CAST(:thresholds AS float8[]),
            CAST(:traceparents AS text[]), CAST(:sizes AS int8[])
        ) WITH ORDINALITY AS listed (job_id, submitter, ref, threshold, traceparent, size_bytes, number)
    ), uploaded AS (
        DELETE FROM uploads USING listed WHERE uploads.job_id = listed.job_id RETURNING listed.*
    ), created AS (
        INSERT INTO jobs (id, submitter, priority, threshold, follow_links, kept_blobs, total)
        SELECT job_id, submitter, :priority, threshold, false, 'all', 1 FROM uploaded
    ), in_flight AS (
        SELECT submitter, count(*) FILTER (WHERE state = 'dispatched') AS dispatched,
            count(DISTINCT message_id) FILTER (WHERE dispatched_at > now() - interval '{LONE_PATIENCE_S} s') AS messages
        FROM chunks WHERE state IN ('dispatched', 'running') AND priority = :priority GROUP BY submitter
    ), claiming AS (
        SELECT greatest(1, count(*))::int AS workers FROM workers
        WHERE NOT draining AND seen_at > now() - make_interval(secs => :silent_s)
    ), placed AS MATERIALIZED (
        SELECT uploaded.*, workers, uuidv7() AS chunk_id,
            ceil(sum(greatest(1.0 / {LONE_AT_ONCE}, size_bytes / {LONE_BYTES}.0)) OVER (
                PARTITION BY submitter ORDER BY number
            )) AS message,
            CAST(:window AS int) * workers >= (SELECT count(*) FROM uploaded)
                    + (SELECT coalesce(sum(dispatched), 0) FROM in_flight)
                AND coalesce(messages, 0) < {LONE_MESSAGES} * workers AND traceparent IS NULL
                AND NOT EXISTS (
                    SELECT FROM chunks WHERE state = 'pending' AND priority = :priority
                        AND chunks.submitter = uploaded.submitter AND (not_before IS NULL OR not_before <= now())
                ) AND NOT EXISTS (
                    SELECT FROM pauses WHERE job_id IS NULL AND (priority IS NULL OR priority = :priority)
                        AND (pauses.submitter IS NULL OR pauses.submitter = uploaded.submitter)
                ) AS is_dispatched
        FROM uploaded CROSS JOIN claiming LEFT JOIN in_flight USING (submitter)
    ), queued AS (
        INSERT INTO chunks (
            id, job_id, submitter, priority, first_ordinal, refs, images, traceparent, state, dispatched_at, message_id
        )
        SELECT chunk_id, job_id, submitter, :priority, 0, ARRAY[ref], 1, traceparent,
            CASE WHEN is_dispatched THEN 'dispatched' ELSE 'pending' END, CASE WHEN is_dispatched THEN now() END,
            CASE WHEN is_dispatched THEN first_value(chunk_id) OVER (
                PARTITION BY submitter, message ORDER BY number
            ) END
        FROM placed
        RETURNING id, job_id, message_id, priority
    )
    SELECT id, job_id, message_id, CASE WHEN message_id IS NULL THEN pg_notify(:channel, '') ELSE {NOTIFY_WORKERS} END
    FROM queued
""")


def submit_lone_images(
    engine: Engine,
    blobs: Blobs,
    images: Sequence[LoneImage],
    storage_limits: StorageLimits,
    waiting_limits: WaitingLimits,
    dispatching: DispatchLimits = NONE_AT_ONCE,
) -> tuple[list[uuid.UUID], list[DispatchedChunk]]:
    """Store each of these images with a job of its own; return the jobs, in order, and the chunks to be published.

    These chunks are already marked as dispatched; the others are left to dispatchers.

    Raises TooManyWaitingError, StorageFullError and StoredBytesError if there is no room for one of them, and
    UploadExpiredError if storing takes longer than an upload may; then none is stored.
    """
    free = blobs.count_free_bytes()
    if free is not None:
        check_free_bytes(free, storage_limits.min_free_bytes)
    digests = [sha256(image.data).digest() for image in images]
    job_ids = _keep_blobs(engine, images, digests, storage_limits, waiting_limits)
    try:
        for digest, image in zip(digests, images, strict=True):
            blobs.put_as(digest.hex(), image.data)
        dispatched = _submit_jobs(engine, images, digests, job_ids, dispatching)
    except BaseException:
        end_uploads(engine, job_ids)
        raise
    return job_ids, dispatched


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
    engine: Engine,
    images: Sequence[LoneImage],
    digests: Sequence[bytes],
    job_ids: Sequence[uuid.UUID],
    dispatching: DispatchLimits,
) -> list[DispatchedChunk]:
    with engine.begin() as connection:
        queued = connection.execute(
            SUBMIT_LONE_JOBS,
            {
                "job_ids": list(job_ids),
                "submitters": [image.submitter for image in images],
                "refs": [
                    refer_to_blob(digest.hex(), image.name) for digest, image in zip(digests, images, strict=True)
                ],
                "thresholds": [image.threshold for image in images],
                "traceparents": [image.traceparent for image in images],
                "sizes": [len(image.data) for image in images],
                "priority": LONE_PRIORITY,
                "channel": SUBMITTED,
                "window": dispatching.window,
                "silent_s": SILENT_LEASES * dispatching.lease_s,
            },
        ).all()
        if len(queued) < len(images):
            raise UploadExpiredError
        dispatched = [
            DispatchedChunk(row.id, LONE_PRIORITY, row.job_id, 1, None, row.message_id)
            for row in queued
            if row.message_id
        ]
        raise_totals(
            connection,
            count_one(Total.IMAGES_SUBMITTED, by=len(images))
            + count_one(Total.CHUNKS_DISPATCHED, LONE_PRIORITY.value, len(dispatched)),
        )
    return dispatched
