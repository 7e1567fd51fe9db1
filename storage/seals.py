"""Seals: a digest of all verdicts of a job, stored after it ended, to detect later changes.

The digest is the root of a Merkle tree: a leaf is the SHA-256 of a verdict in its canonical form, a piece that of the
leaves of 128 ordinals, the root that of the pieces. A prefix byte in the hashed data distinguishes leaf, piece and
root. PostgreSQL computes all of it, so no verdict is transferred.
"""

import uuid
from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import Engine, text

from storage.database import connect_to_read

# Ordinals per piece, and bytes stored of each leaf to identify what was changed.
PIECE = 128
KEPT_BYTES = 8
# The maximum number of verdicts per statement.
VERDICTS_AT_ONCE = 64 * PIECE

# Also in docs/analysts.md. Floating-point numbers are the bytes of their IEEE form, times are microseconds.
CANONICAL = """
    jsonb_build_array(
        job_id, ordinal, submitter, uri, encode(sha256, 'hex'), outcome, encode(float4send(stego_probability), 'hex'),
        stego_type, bit_order, extracted_message, payload::text, error_code, error_detail, model,
        encode(float8send(threshold), 'hex'), width, height, format, size_bytes, reused,
        CAST(1000000 * extract(epoch FROM scanned_at) AS bigint), worker, code_version, attempt
    )::text
"""

# Leaves of some jobs, or of a part of one, and the pieces made from them.
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

# Ended jobs without a seal, earliest first.
LIST_UNSEALED = text("""
    SELECT id, total FROM jobs WHERE NOT sealed AND finished_at IS NOT NULL AND NOT canary
    ORDER BY finished_at LIMIT :limit
""")
JOBS_AT_ONCE = 500

# Those of them that no other transaction is deleting or sealing.
LOCK_JOBS = text("""
    SELECT id FROM jobs WHERE id = ANY(:ids) AND NOT sealed ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")

# Existing pieces come from a process that did not finish.
STORE_PIECES = text(f"""
    INSERT INTO seal_pieces (job_id, first_ordinal, digest, leaves) {PIECES} ON CONFLICT DO NOTHING
""")

# Inserts the seals.
STORE_SEALS = text(f"""
    WITH ended AS (
        UPDATE jobs SET sealed = true WHERE id = ANY(:ids) RETURNING id, total
    )
    INSERT INTO seals (job_id, root, verdicts)
    SELECT id, {ROOT}, total FROM ended JOIN seal_pieces ON job_id = id GROUP BY id, total
""")


def seal_ended_jobs(engine: Engine) -> int:
    """Seal some of the ended jobs; return their number, 0 if none is left or other processes are sealing them.

    A transaction seals jobs with up to `VERDICTS_AT_ONCE` verdicts in total. A larger job takes several transactions.
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
    """Store pieces of these jobs from this ordinal on, and after the last ones their seals; return how many jobs."""
    with engine.begin() as connection:
        locked = list(connection.execute(LOCK_JOBS, {"ids": list(job_ids)}).scalars())
        if locked:
            part = {"ids": locked, "first": first, "end": first + VERDICTS_AT_ONCE}
            connection.execute(STORE_PIECES, part)
            if is_last:
                connection.execute(STORE_SEALS, {"ids": locked})
    return len(locked)
