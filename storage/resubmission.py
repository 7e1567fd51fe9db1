"""Submitting images of a job again as another job: those with matching verdicts, in the same order."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from storage.notifications import SUBMITTED
from storage.submission import COMPLETE_JOB
from storage.totals import Total, count_one, raise_totals
from storage.traces import read_traceparent

# Inserts the new job based on the old one, unless its submitter has used the idempotency key before.
INSERT_JOB = text("""
    INSERT INTO jobs (name, submitter, priority, threshold, follow_links, retry_of, rescan_of, anew, idempotency_key,
        total)
    SELECT coalesce(:name, name), submitter, coalesce(:priority, priority), threshold, follow_links,
        CASE WHEN NOT :is_rescan THEN id END, CASE WHEN :is_rescan THEN id END, anew OR :is_rescan, :idempotency_key, 0
    FROM jobs WHERE id = :id
    ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id, submitter, priority
""")

# Double braces, because the surrounding text is formatted.
IS_BLOB = "uri ~ '^blob://[0-9a-f]{{64}}/'"
DIGEST = "decode(substring(uri FROM 8 FOR 64), 'hex')"

# The stored blobs among them, which the new job keeps from now on. To avoid deadlocks, all code locks these rows in one
# order.
KEEP_BLOBS = f"""
    WITH locked AS MATERIALIZED (
        SELECT sha256, size_bytes FROM blobs WHERE sha256 IN (
            SELECT {DIGEST} FROM verdicts WHERE job_id = :id AND {IS_BLOB} AND {{conditions}}
        ) ORDER BY sha256 FOR NO KEY UPDATE
    ), marked AS (
        UPDATE blobs SET released_at = NULL FROM locked WHERE blobs.sha256 = locked.sha256
    ), kept AS (
        INSERT INTO job_blobs (job_id, sha256) SELECT :new_id, sha256 FROM locked
    )
    INSERT INTO submitters (name, stored_bytes) SELECT :submitter, coalesce(sum(size_bytes), 0) FROM locked
    ON CONFLICT (name) DO UPDATE SET stored_bytes = submitters.stored_bytes + excluded.stored_bytes
"""

# Inserts chunks of these images, in the order of submission; returns the number of images and of those whose bytes are
# deleted, which are left out unless `keep_gone`.
COPY_IMAGES = f"""
    WITH wanted AS (
        SELECT uri, ordinal, {IS_BLOB} AND NOT EXISTS (
            SELECT FROM job_blobs WHERE job_id = :new_id AND job_blobs.sha256 = CASE WHEN {IS_BLOB} THEN {DIGEST} END
        ) AS is_gone
        FROM verdicts WHERE job_id = :id AND {{conditions}}
    ), placed AS (
        SELECT uri, (row_number() OVER (ORDER BY ordinal) - 1)::int4 AS place FROM wanted
        WHERE :keep_gone OR NOT is_gone
    ), stored AS (
        INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images, traceparent)
        SELECT :new_id, :submitter, :priority, min(place), array_agg(uri ORDER BY place), count(*), :traceparent
        FROM placed GROUP BY place / :chunk_size
        RETURNING images
    )
    SELECT (SELECT coalesce(sum(images), 0) FROM stored) AS images, count(*) FILTER (WHERE is_gone) AS gone FROM wanted
"""


@dataclass(frozen=True, slots=True)
class Resubmission:
    """The new job, and the number of images whose bytes are deleted."""

    job_id: uuid.UUID
    images: int
    gone: int


def resubmit_images(
    connection: Connection,
    job_id: uuid.UUID,
    conditions: str,
    parameters: dict[str, Any],
    *,
    is_rescan: bool,
    keep_gone: bool,
    name: str | None,
    priority: str | None,
    idempotency_key: str | None,
    chunk_size: int,
) -> Resubmission | None:
    """Submit images of a job as a new job, inside the database, so that memory does not grow with the job.

    `conditions`, with their parameters, select verdicts. The new job has the old one's submitter, threshold and, unless
    others are given, name and priority, and refers to it as what it retries or rescans. Images whose bytes are deleted
    are included only if `keep_gone`. Returns None if the idempotency key was used before. If there are no images, the
    transaction must not be committed.
    """
    new = connection.execute(
        INSERT_JOB,
        {
            "id": job_id, "name": name, "priority": priority, "is_rescan": is_rescan,
            "idempotency_key": idempotency_key,
        },
    ).one_or_none()  # fmt: skip
    if new is None:
        return None
    values = {
        **parameters, "id": job_id, "new_id": new.id, "submitter": new.submitter, "priority": new.priority,
        "chunk_size": chunk_size, "keep_gone": keep_gone, "traceparent": read_traceparent(),
    }  # fmt: skip
    connection.execute(text(KEEP_BLOBS.format(conditions=conditions)), values)
    copied = connection.execute(text(COPY_IMAGES.format(conditions=conditions)), values).one()
    images = int(copied.images)
    connection.execute(COMPLETE_JOB, {"total": images, "id": new.id, "channel": SUBMITTED})
    raise_totals(connection, count_one(Total.IMAGES_SUBMITTED, by=images))
    return Resubmission(new.id, images, int(copied.gone))
