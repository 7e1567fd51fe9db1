"""Lone chunks, each the only image of its job and stored as a blob: claimed and finished in groups."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine, text

from storage.chunks import Claim, read_claim
from storage.dispatch import LONE_AT_ONCE, LONE_PRIORITY, MAY_BE_LONE
from storage.draining import IS_DRAINING
from storage.new_verdict import NewVerdict
from storage.notifications import FINISHED
from storage.pauses import IS_PAUSED
from storage.totals import Counts, Total, count_one, count_verdicts, raise_totals
from storage.verdicts import VERDICT_COLUMNS, VERDICT_LISTS, list_columns
from storage.version import VERSION

# How many waiting chunks of a submitter are searched for lone ones.
LOOKED_AT = 64

# Whether a chunk of a job is lone, has never failed, and is unclaimed or this claimant's.
IS_TO_BE_HAD = f"""
    total = 1 AND losses = 0 AND tries = 0
        AND (chunks.state = 'running' AND worker = :claimant
            OR chunks.state IN ('pending', 'dispatched') AND NOT {IS_PAUSED}
                AND NOT {IS_DRAINING.format(worker="split_part(CAST(:claimant AS text), ' ', 1)")})
    FOR NO KEY UPDATE OF chunks SKIP LOCKED
"""
# Claims the chunks in `locked`, and starts their jobs. A claim lost in a server crash is simply made again: its holder
# can store nothing.
CLAIM_LOCKED = """
    UPDATE chunks SET state = 'running', attempt = attempt + 1, worker = :claimant,
        lease_until = now() + make_interval(secs => :lease_s){more}
    FROM locked WHERE chunks.id = locked.id
    RETURNING chunks.id, job_id, attempt, losses, submitter, priority, first_ordinal, refs, tries, traceparent
"""
START_JOBS = """
    UPDATE jobs SET state = 'running', started_at = now()
    WHERE id IN (SELECT job_id FROM claimed) AND state = 'pending'
"""
READ_CLAIMED = """
    SELECT claimed.*, jobs.threshold, jobs.follow_links, jobs.anew, CAST('{}' AS int4[]) AS judged,
        set_config('synchronous_commit', 'off', true)
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
"""

# Claims all lone chunks among these; skips those locked by others.
CLAIM_LONE_CHUNKS = text(f"""
    WITH locked AS (
        SELECT chunks.id FROM chunks JOIN jobs ON jobs.id = job_id
        WHERE chunks.id = ANY(:ids) AND message_id IS NOT NULL AND {IS_TO_BE_HAD}
    ), claimed AS ({CLAIM_LOCKED.format(more="")}), started AS ({START_JOBS}) {READ_CLAIMED}
""")


def claim_lone_chunks(engine: Engine, chunk_ids: Sequence[uuid.UUID], claimant: str, lease_s: float) -> list[Claim]:
    """Claim for `claimant` those of the chunks that are lone, unclaimed and not held back.

    Chunks that were lost or put off before are skipped. A claimant gets its own chunks again, as with `claim_chunk`.
    """
    with engine.begin() as connection:
        parameters = {"ids": list(chunk_ids), "claimant": claimant, "lease_s": lease_s}
        claims = [read_claim(row) for row in connection.execute(CLAIM_LONE_CHUNKS, parameters).mappings()]
        raise_totals(connection, count_one(Total.CHUNKS_CLAIMED, by=len(claims)))
    return claims


# Claims lone chunks that wait to be dispatched, in order: of the submitter with the fewest running chunks, or of
# several the one that has waited longest. They run under an existing message. Lone chunks behind many other chunks are
# not searched for, because the others go first.
TAKE_LONE_CHUNKS = text(f"""
    WITH running AS (
        SELECT submitter, count(*) AS chunks FROM chunks WHERE state = 'running' AND priority = :priority
        GROUP BY submitter
    ), waiting AS (
        SELECT submitters.submitter, first.id, first.place
        FROM (SELECT DISTINCT submitter FROM jobs WHERE state = 'pending' AND priority = :priority) AS submitters
        CROSS JOIN LATERAL (
            SELECT id, row_number() OVER (ORDER BY job_id) AS place FROM (
                SELECT * FROM chunks WHERE state = 'pending' AND priority = :priority
                    AND chunks.submitter = submitters.submitter
                ORDER BY job_id, first_ordinal LIMIT {LOOKED_AT}
            ) AS chunks
            WHERE {MAY_BE_LONE} AND NOT {IS_PAUSED} AND (not_before IS NULL OR not_before <= now())
            ORDER BY job_id LIMIT {LONE_AT_ONCE}
        ) AS first
    ), turn AS (
        SELECT submitter FROM waiting LEFT JOIN running USING (submitter)
        WHERE place = 1 ORDER BY coalesce(chunks, 0), waiting.id LIMIT 1
    ), locked AS (
        SELECT chunks.id FROM chunks JOIN jobs ON jobs.id = job_id
        WHERE chunks.id IN (
            SELECT id FROM waiting JOIN turn USING (submitter)
            UNION ALL SELECT id FROM chunks WHERE state = 'running' AND priority = :priority AND worker = :claimant
        ) AND chunks.state <> 'dispatched' AND {IS_TO_BE_HAD}
    ), claimed AS (
        {CLAIM_LOCKED.format(more=", message_id = :message_id, dispatched_at = now()")}
    ), started AS ({START_JOBS}) {READ_CLAIMED}
""")


def take_lone_chunks(engine: Engine, message_id: uuid.UUID, claimant: str, lease_s: float) -> list[Claim]:
    """Claim undispatched lone chunks of one submitter for `claimant`, which has finished the chunks of this message.

    Held chunks are skipped. Repeated for the same claimant, it returns the same chunks, and possibly more.
    """
    with engine.begin() as connection:
        parameters = {"message_id": message_id, "claimant": claimant, "lease_s": lease_s, "priority": LONE_PRIORITY}
        claims = [read_claim(row) for row in connection.execute(TAKE_LONE_CHUNKS, parameters).mappings()]
        counts = count_one(Total.CHUNKS_DISPATCHED, LONE_PRIORITY.value, len(claims))
        raise_totals(connection, counts + count_one(Total.CHUNKS_CLAIMED, by=len(claims)))
    return claims


# Ends lone chunks and their jobs with a verdict each, if the claim is valid. In the lists of verdicts, `ordinal` is the
# index of the chunk.
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
    RETURNING jobs.id, canary, extract(epoch FROM now() - created_at) AS age_s, pg_notify(:channel, jobs.id::text),
        EXISTS (SELECT FROM chunks WHERE state = 'pending' AND priority = :priority) AS others_wait
""")


class Finished(NamedTuple):
    """The number of valid claims, and whether more lone chunks are waiting."""

    stored: int
    others_wait: bool


def finish_lone_chunks(engine: Engine, claims: Sequence[Claim], verdicts: Sequence[NewVerdict]) -> Finished:
    """Store the verdict of each of these lone chunks, which ends its job, if the claim is valid."""
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
                "priority": LONE_PRIORITY,
                **numbered,
            },
        ).all()
        counts: Counts = Counts()
        for row in finished:
            if not row.canary:
                claim, verdict = by_job[row.id]
                counts += count_verdicts([verdict], claim.priority, float(row.age_s))
        raise_totals(connection, counts)
    return Finished(len(finished), any(row.others_wait for row in finished))
