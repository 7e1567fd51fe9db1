"""Chunks: published by the dispatcher, claimed under a lease, finished, given back or found lost."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from storage.database import FINISHED, SUBMITTED, reading
from storage.verdicts import LOCK_JOB, VERDICT_COLUMNS, NewVerdict, columns_of

DISPATCH_LOCK = 0x44495350


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to scan a chunk: holds while the chunk is running and `attempt` is still its newest.

    `refs` are all of the chunk, `judged` the ordinals of those that have their verdict from one of its earlier `tries`.
    `threshold` is the job's own, or None where the model's decides.
    """

    chunk_id: uuid.UUID
    job_id: uuid.UUID
    attempt: int
    losses: int
    priority: str
    first_ordinal: int
    refs: list[str]
    tries: int
    judged: list[int]
    threshold: float | None

    @property
    def images(self) -> list[tuple[int, str]]:
        """Ordinal and reference of each image that has no verdict yet."""
        return [image for image in enumerate(self.refs, self.first_ordinal) if image[0] not in self.judged]


def count_losses(engine: Engine, chunk_id: uuid.UUID) -> int | None:
    """Return how often the chunk was lost, or None where it cannot be claimed."""
    with reading(engine) as connection:
        query = text("SELECT losses FROM chunks WHERE id = :id AND state IN ('pending', 'dispatched')")
        return connection.execute(query, {"id": chunk_id}).scalar()


def claim_chunk(
    engine: Engine, chunk_id: uuid.UUID, claimant: str, lease_s: float, *, losses: int | None = None
) -> Claim | None:
    """Take the chunk for `claimant`, or return None where somebody else has it, it has ended, or it is put off.

    Who has the chunk already gets it anew: the connection may have broken after the claim was stored.
    With `losses`, also where it was lost since they were counted: who claims it then must treat it otherwise.
    """
    with engine.begin() as connection:
        row = connection.execute(
            text("""
                WITH claimed AS (
                    UPDATE chunks SET state = 'running', attempt = attempt + 1, worker = :claimant,
                        lease_until = now() + make_interval(secs => :lease_s)
                    WHERE id = :id AND (state IN ('pending', 'dispatched') OR state = 'running' AND worker = :claimant)
                        AND losses = coalesce(:losses, losses) AND (not_before IS NULL OR not_before <= now())
                    RETURNING id, job_id, attempt, losses, priority, first_ordinal, refs, tries
                ), started AS (
                    UPDATE jobs SET state = 'running', started_at = now()
                    WHERE id = (SELECT job_id FROM claimed) AND state = 'pending'
                )
                SELECT claimed.*, CASE WHEN tries = 0 THEN '{}' ELSE ARRAY(
                    SELECT ordinal FROM verdicts WHERE verdicts.job_id = claimed.job_id
                        AND ordinal BETWEEN first_ordinal AND first_ordinal + cardinality(refs) - 1
                ) END AS judged, (SELECT threshold FROM jobs WHERE jobs.id = claimed.job_id) AS threshold
                FROM claimed
            """),
            {"id": chunk_id, "claimant": claimant, "lease_s": lease_s, "losses": losses},
        ).one_or_none()
    return Claim(*row) if row else None


def finish_chunk(engine: Engine, claim: Claim, verdicts: Sequence[NewVerdict], put_off_s: float | None = None) -> bool:
    """Store these verdicts, count them in the job, and end the chunk, all or nothing.

    With `put_off_s`, the chunk does not end: its other images are to be scanned again so many seconds from now.
    Returns False, and stores nothing, where the claim no longer holds.
    """
    with engine.begin() as connection:
        return bool(
            connection.execute(
                FINISH,
                {
                    "id": claim.chunk_id,
                    "attempt": claim.attempt,
                    "put_off_s": put_off_s,
                    "channel": FINISHED,
                    **columns_of(verdicts),
                },
            ).scalar_one()
        )


LISTED = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in VERDICT_COLUMNS.items())

FINISH = text(f"""
    WITH ended AS (
        UPDATE chunks SET lease_until = NULL,
            state = CASE WHEN CAST(:put_off_s AS float8) IS NULL THEN 'done' ELSE 'pending' END,
            tries = tries + CASE WHEN CAST(:put_off_s AS float8) IS NULL THEN 0 ELSE 1 END,
            not_before = now() + make_interval(secs => :put_off_s)
        WHERE id = :id AND attempt = :attempt AND state = 'running'
        RETURNING job_id
    ), locked AS (
        {LOCK_JOB.format(job="(SELECT job_id FROM ended)")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, {", ".join(VERDICT_COLUMNS)})
        SELECT locked.*, listed.* FROM locked, unnest({LISTED}) AS listed
        ON CONFLICT (job_id, ordinal) DO NOTHING
        RETURNING outcome
    ), counted AS (
        SELECT count(*) AS written, count(*) FILTER (WHERE outcome = 'clean') AS clean,
            count(*) FILTER (WHERE outcome = 'stego') AS stego, count(*) FILTER (WHERE outcome = 'error') AS error
        FROM written
    ), progressed AS (
        UPDATE jobs SET clean = jobs.clean + counted.clean, stego = jobs.stego + counted.stego,
            error = jobs.error + counted.error,
            state = CASE WHEN jobs.clean + jobs.stego + jobs.error + written = total AND state <> 'cancelled'
                THEN 'done' ELSE state END,
            finished_at = CASE WHEN jobs.clean + jobs.stego + jobs.error + written = total
                THEN now() ELSE finished_at END
        FROM counted, ended WHERE jobs.id = ended.job_id
        RETURNING pg_notify(:channel, jobs.id::text)
    )
    SELECT count(*) FROM progressed
""")


def abandon_chunk(engine: Engine, claim: Claim) -> None:
    """End the lease of a chunk whose scan failed: the dispatcher counts it as lost and publishes it again."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE chunks SET lease_until = now() WHERE id = :id AND attempt = :attempt AND state = 'running'"),
            {"id": claim.chunk_id, "attempt": claim.attempt},
        )
        connection.execute(text(f"NOTIFY {SUBMITTED}"))


def release_chunks(engine: Engine, claims: Sequence[Claim]) -> None:
    """Give back chunks that will not be finished here; nothing counts as lost."""
    with engine.begin() as connection:
        for claim in claims:
            connection.execute(
                text("""
                    UPDATE chunks SET state = 'pending', worker = NULL, lease_until = NULL
                    WHERE id = :id AND attempt = :attempt AND state = 'running'
                """),
                {"id": claim.chunk_id, "attempt": claim.attempt},
            )
        connection.execute(text(f"NOTIFY {SUBMITTED}"))


def renew_leases(engine: Engine, claims: Sequence[Claim], lease_s: float) -> None:
    """Extend the leases that still hold; chunks that were taken away stay away."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE chunks SET lease_until = now() + make_interval(secs => :lease_s)
                FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) AS held (id, attempt)
                WHERE chunks.id = held.id AND chunks.attempt = held.attempt AND state = 'running'
            """),
            {
                "ids": [claim.chunk_id for claim in claims],
                "attempts": [claim.attempt for claim in claims],
                "lease_s": lease_s,
            },
        )


def pick_chunks(engine: Engine, priority: str, window: int) -> list[uuid.UUID]:
    """Mark pending chunks as dispatched until `window` are, in equal shares for all submitters, and return their ids.

    Chunks that are put off are left out. Within a submitter, older jobs go first. One dispatcher picks at a time;
    others get an empty list.
    """
    with engine.begin() as connection:
        if not connection.execute(text(f"SELECT pg_try_advisory_xact_lock({DISPATCH_LOCK})")).scalar_one():
            return []
        return list(connection.execute(PICK, {"priority": priority, "window": window}).scalars())


PICK = text("""
    WITH in_flight AS (
        SELECT submitter, count(*) AS chunks, count(*) FILTER (WHERE state = 'dispatched') AS dispatched
        FROM chunks WHERE state IN ('dispatched', 'running') AND priority = :priority GROUP BY submitter
    ), room AS (
        SELECT greatest(0, :window - coalesce(sum(dispatched), 0))::int AS chunks FROM in_flight
    ), submitters AS (
        SELECT DISTINCT submitter FROM jobs WHERE state IN ('pending', 'running') AND priority = :priority
    ), candidates AS (
        SELECT waiting.id, submitter,
            coalesce(in_flight.chunks, 0) + row_number() OVER (PARTITION BY submitter ORDER BY place) AS share
        FROM submitters LEFT JOIN in_flight USING (submitter), LATERAL (
            SELECT id, row_number() OVER (ORDER BY job_id, first_ordinal) AS place FROM chunks
            WHERE state = 'pending' AND priority = :priority AND chunks.submitter = submitters.submitter
                AND (not_before IS NULL OR not_before <= now())
            ORDER BY job_id, first_ordinal LIMIT (SELECT chunks FROM room)
        ) AS waiting
    ), picked AS (
        SELECT id, row_number() OVER (ORDER BY share, submitter) AS place FROM candidates
        ORDER BY share, submitter LIMIT (SELECT chunks FROM room)
    ), marked AS (
        UPDATE chunks SET state = 'dispatched', dispatched_at = now()
        FROM picked WHERE chunks.id = picked.id AND chunks.state = 'pending' RETURNING chunks.id
    )
    SELECT id FROM marked JOIN picked USING (id) ORDER BY place
""")


def count_in_flight(engine: Engine) -> int:
    """Return how many chunks are dispatched or running, each of which has a message in Redis."""
    with reading(engine) as connection:
        query = text("SELECT count(*) FROM chunks WHERE state IN ('dispatched', 'running')")
        return int(connection.execute(query).scalar_one())


def unclaimed_chunks(engine: Engine, older_than_s: float) -> list[tuple[uuid.UUID, str]]:
    """Return id and priority of dispatched chunks that nobody claimed for so long, and date them anew."""
    with engine.begin() as connection:
        rows = connection.execute(
            text("""
                UPDATE chunks SET dispatched_at = now()
                WHERE state = 'dispatched' AND dispatched_at < now() - make_interval(secs => :age)
                RETURNING id, priority
            """),
            {"age": older_than_s},
        )
        return [(row.id, row.priority) for row in rows]


def recover_lost_chunk(engine: Engine, max_losses: int, lease_s: float) -> bool:
    """Deal with one chunk whose lease ran out; return False where there is none.

    After a start of PostgreSQL all have one more lease: nobody could renew while it was away.

    A chunk lost once is published again. One lost twice is replaced by chunks of one image, each with one loss on its
    account, so that a culprit stands alone. A lone image with `max_losses` on its account gets an `error` verdict with
    code `worker_crash`.
    """
    with engine.begin() as connection:
        lost = connection.execute(
            text("""
                UPDATE chunks SET state = 'pending', losses = losses + 1, worker = NULL, lease_until = NULL
                WHERE id = (SELECT id FROM chunks WHERE state = 'running' AND lease_until < now()
                            AND pg_postmaster_start_time() + make_interval(secs => :lease_s) < now()
                            LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING id, losses, cardinality(refs) AS images
            """),
            {"lease_s": lease_s},
        ).one_or_none()
        if lost is None:
            return False
        if lost.images > 1 and lost.losses >= 2:
            connection.execute(SPLIT, {"id": lost.id})
        elif lost.images == 1 and lost.losses >= max_losses:
            connection.execute(CONVICT, {"id": lost.id, "losses": lost.losses, "channel": FINISHED})
        connection.execute(text(f"NOTIFY {SUBMITTED}"))
        return True


# The pieces start with one loss: a suspect is scanned alone in its process. Those with a verdict have ended.
SPLIT = text("""
    WITH whole AS (
        DELETE FROM chunks WHERE id = :id RETURNING *
    )
    INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, attempt, losses, tries, state)
    SELECT whole.job_id, submitter, priority, first_ordinal + position - 1, ARRAY[listed.uri], attempt, 1, tries,
        CASE WHEN verdicts.ordinal IS NULL THEN 'pending' ELSE 'done' END
    FROM whole CROSS JOIN unnest(refs) WITH ORDINALITY AS listed (uri, position)
        LEFT JOIN verdicts ON verdicts.job_id = whole.job_id AND verdicts.ordinal = first_ordinal + position - 1
""")

CONVICT = text(f"""
    WITH ended AS (
        UPDATE chunks SET state = 'done' WHERE id = :id RETURNING job_id, first_ordinal, refs
    ), locked AS (
        {LOCK_JOB.format(job="(SELECT job_id FROM ended)")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, ordinal, uri, outcome, error_code, error_detail)
        SELECT locked.*, first_ordinal, refs[1], 'error', 'worker_crash',
            format('its scan ended the worker, or failed, again and again (%s losses)', CAST(:losses AS int))
        FROM locked, ended
        ON CONFLICT (job_id, ordinal) DO NOTHING RETURNING job_id
    )
    UPDATE jobs SET error = error + 1,
        state = CASE WHEN clean + stego + error + 1 = total AND state <> 'cancelled' THEN 'done' ELSE state END,
        finished_at = CASE WHEN clean + stego + error + 1 = total THEN now() ELSE finished_at END
    FROM written WHERE id = written.job_id RETURNING pg_notify(:channel, id::text)
""")
