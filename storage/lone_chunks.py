"""Lone chunks: each the only image of its job, stored as a blob. Workers claim and finish many of them together."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, text

from storage.chunks import Claim, read_claim
from storage.database import FINISHED
from storage.draining import IS_DRAINING
from storage.new_verdict import NewVerdict
from storage.pauses import IS_PAUSED
from storage.totals import Counts, Total, count_one, count_verdicts, raise_totals
from storage.verdicts import VERDICT_COLUMNS, VERDICT_LISTS, list_columns
from storage.version import VERSION

# Claims of all lone chunks among these, and the start of their jobs. What somebody else has locked is left to him. A
# claim that a crash of the server loses is made again: whoever had it can store nothing.
CLAIM_LONE_CHUNKS = text(f"""
    WITH locked AS (
        SELECT chunks.id FROM chunks JOIN jobs ON jobs.id = job_id
        WHERE chunks.id = ANY(:ids) AND total = 1 AND message_id IS NOT NULL AND losses = 0 AND tries = 0
            AND (chunks.state = 'running' AND worker = :claimant
                OR chunks.state IN ('pending', 'dispatched') AND NOT {IS_PAUSED}
                    AND NOT {IS_DRAINING.format(worker="split_part(CAST(:claimant AS text), ' ', 1)")})
        FOR NO KEY UPDATE OF chunks SKIP LOCKED
    ), claimed AS (
        UPDATE chunks SET state = 'running', attempt = attempt + 1, worker = :claimant,
            lease_until = now() + make_interval(secs => :lease_s)
        FROM locked WHERE chunks.id = locked.id
        RETURNING chunks.id, job_id, attempt, losses, submitter, priority, first_ordinal, refs, tries, traceparent
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now()
        WHERE id IN (SELECT job_id FROM claimed) AND state = 'pending'
    )
    SELECT claimed.*, jobs.threshold, jobs.follow_links, jobs.anew, CAST('{{}}' AS int4[]) AS judged,
        set_config('synchronous_commit', 'off', true)
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
""")


def claim_lone_chunks(engine: Engine, chunk_ids: Sequence[uuid.UUID], claimant: str, lease_s: float) -> list[Claim]:
    """Take for `claimant` those of the chunks that are lone, that nobody else has, and that nothing holds back.

    Those that were lost or put off before are left, too. Who has a chunk already gets it anew, as by `claim_chunk`.
    """
    with engine.begin() as connection:
        parameters = {"ids": list(chunk_ids), "claimant": claimant, "lease_s": lease_s}
        claims = [read_claim(row) for row in connection.execute(CLAIM_LONE_CHUNKS, parameters).mappings()]
        raise_totals(connection, count_one(Total.CHUNKS_CLAIMED, by=len(claims)))
    return claims


# The end of lone chunks and of their jobs, with a verdict each; nothing of those whose claim does not hold. Of the
# verdicts that come as lists, `ordinal` says whose each is.
FINISH_LONE_CHUNKS = text(f"""
    WITH ended AS (
        UPDATE chunks SET lease_until = NULL, state = 'done'
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) WITH ORDINALITY AS held (id, attempt, number)
        WHERE chunks.id = held.id AND chunks.attempt = held.attempt AND state = 'running'
        RETURNING job_id, worker, chunks.attempt, number
    ), locked AS (
        SELECT id FROM jobs WHERE id IN (SELECT job_id FROM ended) FOR NO KEY UPDATE
    ), written AS (
        INSERT INTO verdicts (job_id, landed, {", ".join(VERDICT_COLUMNS)})
        SELECT locked.id, 0, {", ".join("0" if name == "ordinal" else f"listed.{name}" for name in VERDICT_COLUMNS)}
        FROM locked JOIN ended ON job_id = locked.id
            JOIN unnest({VERDICT_LISTS}) AS listed ({", ".join(VERDICT_COLUMNS)}) ON listed.ordinal = number
        ON CONFLICT (job_id, ordinal) DO NOTHING
        RETURNING job_id, outcome
    ), recorded AS (
        INSERT INTO provenance (job_id, landed, worker, code_version, attempt)
        SELECT job_id, 0, split_part(worker, ' ', 1), :code_version, attempt FROM ended JOIN written USING (job_id)
        ON CONFLICT DO NOTHING
    )
    UPDATE jobs SET clean = clean + (outcome = 'clean')::int, stego = stego + (outcome = 'stego')::int,
        error = error + (outcome = 'error')::int, finished_at = now(),
        state = CASE WHEN state <> 'cancelled' THEN 'done' ELSE state END
    FROM written WHERE jobs.id = job_id
    RETURNING jobs.id, canary, extract(epoch FROM now() - created_at) AS age_s, pg_notify(:channel, jobs.id::text)
""")


def finish_lone_chunks(engine: Engine, claims: Sequence[Claim], verdicts: Sequence[NewVerdict]) -> int:
    """Store the verdict of each of these lone chunks, with which its job ends; return how many claims still held.

    Of the others nothing is stored.
    """
    numbered = {**list_columns(verdicts), "ordinal": list(range(1, len(verdicts) + 1))}
    by_job = {claim.job_id: (claim, verdict) for claim, verdict in zip(claims, verdicts, strict=True)}
    with engine.begin() as connection:
        finished = connection.execute(
            FINISH_LONE_CHUNKS,
            {
                "ids": [claim.chunk_id for claim in claims],
                "attempts": [claim.attempt for claim in claims],
                "channel": FINISHED,
                "code_version": VERSION,
                **numbered,
            },
        ).all()
        counts: Counts = Counts()
        for row in finished:
            if not row.canary:
                claim, verdict = by_job[row.id]
                counts += count_verdicts([verdict], claim.priority, float(row.age_s))
        raise_totals(connection, counts)
    return len(finished)
