"""Seals: a digest of all verdicts of a job, stored once it has ended, so that a later change of one can be told.

The digest is the root of a Merkle tree. A leaf is the SHA-256 of a verdict in its canonical form, a piece that of the
leaves of 128 ordinals, the root that of the pieces. PostgreSQL computes all of it: no verdict leaves it. The first byte
of what is hashed tells leaf, piece and root apart.
"""

import uuid
from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import Engine, text

from storage.database import connect_to_read

# Ordinals in a piece, and bytes of each leaf that are kept to name what was changed.
PIECE = 128
KEPT_BYTES = 8
# What one statement seals or looks at.
VERDICTS_AT_ONCE = 64 * PIECE

# docs/analysts.md has it too. Numbers with a fraction are the bytes of their IEEE form, times are microseconds.
CANONICAL = """
    jsonb_build_array(
        job_id, ordinal, submitter, uri, encode(sha256, 'hex'), outcome, encode(float4send(stego_probability), 'hex'),
        stego_type, bit_order, extracted_message, payload::text, error_code, error_detail, model,
        encode(float8send(threshold), 'hex'), width, height, format, size_bytes, reused,
        CAST(1000000 * extract(epoch FROM scanned_at) AS bigint), worker, code_version, attempt
    )::text
"""

# Leaves of some jobs, or of a part of one, and the pieces that they make up.
LEAVES = f"""
    SELECT job_id, ordinal, sha256('\\x00'::bytea || convert_to({CANONICAL}, 'UTF8')) AS leaf
    FROM verdict WHERE job_id = ANY(:ids) AND ordinal >= :first AND ordinal < :end
"""
PIECES = f"""
    SELECT job_id, CAST(ordinal / {PIECE} * {PIECE} AS int) AS first_ordinal,
        sha256('\\x01'::bytea || string_agg(leaf, ''::bytea ORDER BY ordinal)) AS digest,
        string_agg(substr(leaf, 1, {KEPT_BYTES}), ''::bytea ORDER BY ordinal) AS leaves
    FROM ({LEAVES}) AS leaves GROUP BY job_id, ordinal / {PIECE}
"""
ROOT = "sha256('\\x02'::bytea || string_agg(digest, ''::bytea ORDER BY first_ordinal))"

# Jobs that have ended and have no seal yet, the first first.
LIST_UNSEALED = text("""
    SELECT id, total FROM jobs WHERE NOT sealed AND finished_at IS NOT NULL AND NOT canary
    ORDER BY finished_at LIMIT :limit
""")
JOBS_AT_ONCE = 500

# Those of them that nobody deletes or seals at this moment.
LOCK_JOBS = text("""
    SELECT id FROM jobs WHERE id = ANY(:ids) AND NOT sealed ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")

# Pieces that are there already were stored by somebody who did not come to the end.
STORE_PIECES = text(f"""
    INSERT INTO seal_pieces (job_id, first_ordinal, digest, leaves) {PIECES} ON CONFLICT DO NOTHING
""")

# The end of seals.
STORE_SEALS = text(f"""
    WITH ended AS (
        UPDATE jobs SET sealed = true WHERE id = ANY(:ids) RETURNING id, total
    )
    INSERT INTO seals (job_id, root, verdicts)
    SELECT id, {ROOT}, total FROM ended JOIN seal_pieces ON job_id = id GROUP BY id, total
""")


def seal_ended_jobs(engine: Engine) -> int:
    """Seal some of the jobs that have ended; return how many, 0 where none is left or others are at them.

    A transaction seals as many as have `VERDICTS_AT_ONCE` verdicts together. A job that has more takes more of them.
    """
    with connect_to_read(engine) as connection:
        unsealed = connection.execute(LIST_UNSEALED, {"limit": JOBS_AT_ONCE}).all()
    if not unsealed:
        return 0
    sizes = accumulate(job.total for job in unsealed)
    together = [job.id for job, size in zip(unsealed, sizes, strict=True) if size <= VERDICTS_AT_ONCE]
    if together:
        return _seal(engine, together, 0, is_last=True)
    (large, total), *_ = unsealed
    for first in range(0, total, VERDICTS_AT_ONCE):
        if not _seal(engine, [large], first, is_last=first + VERDICTS_AT_ONCE >= total):
            return 0
    return 1


def _seal(engine: Engine, job_ids: Sequence[uuid.UUID], first: int, *, is_last: bool) -> int:
    """Store pieces of these jobs from this ordinal on, and behind the last ones their seals; return how many jobs."""
    with engine.begin() as connection:
        locked = list(connection.execute(LOCK_JOBS, {"ids": list(job_ids)}).scalars())
        if locked:
            part = {"ids": locked, "first": first, "end": first + VERDICTS_AT_ONCE}
            connection.execute(STORE_PIECES, part)
            if is_last:
                connection.execute(STORE_SEALS, {"ids": locked})
    return len(locked)
