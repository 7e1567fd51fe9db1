"""Retention of blobs: as long as a job needs them, and for a time after it has ended.

Any number of processes may run this at once. A blob that is no longer needed is marked as released. It is
deleted once its row is locked and no job or upload keeps it. Code that needs it again marks it as needed
(`storage.uploads`), and waits for that lock.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import Connection, Engine, text

from storage.blobs import Blobs
from storage.schema.work import KeptBlobs

# The maximum number of rows per transaction.
JOBS_AT_ONCE = 200
BLOBS_AT_ONCE = 500

# Releases blobs of jobs or uploads. To avoid deadlocks, all code locks these rows in one order. Evidence is an image in
# which the job found something.
RELEASE_BLOBS = """
    WITH ended AS (
        SELECT * FROM unnest(CAST(:job_ids AS uuid[]), CAST(:submitters AS text[])) AS listed (job_id, submitter)
    ), released AS (
        DELETE FROM job_blobs USING ended WHERE job_blobs.job_id = ended.job_id {but}
        RETURNING sha256, submitter
    ), locked AS MATERIALIZED (
        SELECT sha256, size_bytes FROM blobs WHERE sha256 IN (SELECT sha256 FROM released)
        ORDER BY sha256 FOR NO KEY UPDATE
    ), marked AS (
        UPDATE blobs SET released_at = now() FROM locked WHERE blobs.sha256 = locked.sha256
    ), freed AS (
        SELECT submitter, sum(size_bytes) AS bytes FROM released JOIN locked USING (sha256) GROUP BY submitter
    ), counted AS MATERIALIZED (
        SELECT name, bytes FROM submitters JOIN freed ON name = submitter ORDER BY name FOR NO KEY UPDATE OF submitters
    )
    UPDATE submitters SET stored_bytes = greatest(0, stored_bytes - bytes)
    FROM counted WHERE submitters.name = counted.name
"""
RELEASE_ALL = text(RELEASE_BLOBS.format(but=""))
RELEASE_ALL_BUT_EVIDENCE = text(
    RELEASE_BLOBS.format(
        but="""AND NOT EXISTS (
            SELECT FROM verdicts
            WHERE job_id = ended.job_id AND outcome = 'stego' AND verdicts.sha256 = job_blobs.sha256
        )"""
    )
)

# Jobs that ended so long ago, and what they keep from now on.
END_RETENTION = text("""
    UPDATE jobs SET kept_blobs = :keep WHERE id = ANY(ARRAY(
        SELECT id FROM jobs WHERE kept_blobs = :kept AND finished_at <= now() - CAST(:retention AS interval)
        ORDER BY finished_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )) RETURNING id AS job_id, submitter
""")

# Abandoned uploads.
END_EXPIRED_UPLOADS = text("""
    DELETE FROM uploads WHERE job_id IN (
        SELECT job_id FROM uploads WHERE expires_at < now() LIMIT :limit FOR UPDATE SKIP LOCKED
    ) RETURNING job_id, submitter
""")

# Deletes these uploads.
END_UPLOADS = text("DELETE FROM uploads WHERE job_id = ANY(:ids) RETURNING job_id, submitter")


def release_blobs(connection: Connection, owners: Sequence[tuple[uuid.UUID, str]], *, but_evidence: bool) -> None:
    """Release the blobs of these jobs (with their submitters): all, or all but evidence."""
    if not owners:
        return
    job_ids, submitters = zip(*owners, strict=True)
    release = RELEASE_ALL_BUT_EVIDENCE if but_evidence else RELEASE_ALL
    connection.execute(release, {"job_ids": list(job_ids), "submitters": list(submitters)})


def end_uploads(engine: Engine, upload_ids: Sequence[uuid.UUID]) -> None:
    """Release the blobs of uploads that will not become jobs."""
    # Two statements, so that the second sees what was stored while the first waited for it.
    with engine.begin() as connection:
        ended = connection.execute(END_UPLOADS, {"ids": list(upload_ids)})
        release_blobs(connection, [(row.job_id, row.submitter) for row in ended], but_evidence=False)


def end_expired_uploads(engine: Engine) -> int:
    """Release the blobs of abandoned uploads; return the number of uploads."""
    with engine.begin() as connection:
        ended = connection.execute(END_EXPIRED_UPLOADS, {"limit": JOBS_AT_ONCE})
        owners = [(row.job_id, row.submitter) for row in ended]
        release_blobs(connection, owners, but_evidence=False)
    return len(owners)


def end_retention(engine: Engine, kept: KeptBlobs, keep: KeptBlobs, retention: timedelta) -> int:
    """Reduce what jobs that ended so long ago keep, from `kept` to `keep`; return their number."""
    with engine.begin() as connection:
        ended = connection.execute(
            END_RETENTION, {"kept": kept, "keep": keep, "retention": retention, "limit": JOBS_AT_ONCE}
        )
        owners = [(row.job_id, row.submitter) for row in ended]
        release_blobs(connection, owners, but_evidence=keep is KeptBlobs.EVIDENCE)
    return len(owners)


# Released blobs, locked so that nobody can keep them again while they are deleted.
LOCK_RELEASED = text("""
    SELECT sha256 FROM blobs WHERE released_at IS NOT NULL ORDER BY released_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")

# Those of them that are needed: by another job or upload, or as a model's weights.
KEEP_NEEDED = text("""
    UPDATE blobs SET released_at = NULL
    WHERE sha256 = ANY(:digests) AND (
        EXISTS (SELECT FROM job_blobs WHERE job_blobs.sha256 = blobs.sha256)
        OR encode(sha256, 'hex') IN (SELECT sha256 FROM models WHERE card IS NOT NULL)
    ) RETURNING sha256
""")

# The others.
FORGET_BLOBS = text("DELETE FROM blobs WHERE sha256 = ANY(:digests)")


def delete_released_blobs(engine: Engine, blobs: Blobs) -> Iterator[int]:
    """Delete released blobs that nobody needs, in groups; yield the size of each group until none is left.

    Raises the errors of `obstore`; then they stay released, and are deleted later.
    """
    while True:
        with engine.begin() as connection:
            released = set(connection.execute(LOCK_RELEASED, {"limit": BLOBS_AT_ONCE}).scalars())
            if not released:
                return
            # A separate statement, so that it sees what was committed while the first waited.
            needed = connection.execute(KEEP_NEEDED, {"digests": list(released)}).scalars()
            unneeded = released.difference(needed)
            blobs.delete_all([digest.hex() for digest in unneeded])
            connection.execute(FORGET_BLOBS, {"digests": list(unneeded)})
        yield len(unneeded)
