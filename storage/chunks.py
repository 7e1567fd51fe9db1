"""Chunks from the worker's side: claimed under a lease, which is renewed, then finished or given back."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Engine, RowMapping, text

from starlight_vocabulary.words import Priority
from storage.draining import IS_DRAINING
from storage.new_verdict import NewVerdict
from storage.notifications import FINISHED, SUBMITTED
from storage.pauses import IS_PAUSED
from storage.provenance import RECORD_PROVENANCE
from storage.totals import Total, count_one, count_verdicts, raise_totals
from storage.verdicts import LOCK_JOB, VERDICT_COLUMNS, VERDICT_LISTS, list_columns
from storage.version import VERSION


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to scan a chunk: valid while the chunk is running and `attempt` is its latest.

    `refs` are all references of the chunk, `judged` the ordinals that got their verdict in one of its earlier `tries`.
    `threshold` is the job's own, None to use the model's. Unless it may `follow_links`, paths of files must not contain
    links. `traceparent` is the trace of the submission, None if it is not traced. A chunk to be scanned `anew` reuses
    no verdicts.
    """

    chunk_id: uuid.UUID
    job_id: uuid.UUID
    attempt: int
    losses: int
    submitter: str
    priority: Priority
    first_ordinal: int
    refs: list[str]
    tries: int
    judged: list[int]
    threshold: float | None
    follow_links: bool
    traceparent: str | None = None
    anew: bool = False

    @property
    def images(self) -> list[tuple[int, str]]:
        """Ordinal and reference of each image without a verdict."""
        return [image for image in enumerate(self.refs, self.first_ordinal) if image[0] not in self.judged]


def make_claimant(worker: str) -> str:
    """Return a claimant for one claim by this worker: its name, a space, and a suffix that no other claim has.

    A claim repeated because its answer was lost gets the chunk; another message for the same chunk does not.
    """
    return f"{worker} {secrets.token_hex(4)}"


# Claims a chunk, and starts the job with its first one. A claim lost in a server crash is simply made again: its
# holder can store nothing.
CLAIM_CHUNK = text(f"""
    WITH claimed AS (
        UPDATE chunks SET state = 'running', attempt = attempt + 1, worker = :claimant,
            lease_until = now() + make_interval(secs => :lease_s)
        WHERE id = :id
            AND (state = 'running' AND worker = :claimant OR state IN ('pending', 'dispatched') AND NOT {IS_PAUSED}
                AND NOT {IS_DRAINING.format(worker="split_part(CAST(:claimant AS text), ' ', 1)")})
            AND losses = coalesce(:losses, losses) AND (not_before IS NULL OR not_before <= now())
        RETURNING id, job_id, attempt, losses, submitter, priority, first_ordinal, refs, tries, traceparent
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now()
        WHERE id = (SELECT job_id FROM claimed) AND state = 'pending'
    )
    SELECT claimed.*, jobs.threshold, jobs.follow_links, jobs.anew, CASE WHEN tries = 0 THEN '{{}}' ELSE ARRAY(
        SELECT ordinal FROM verdicts WHERE verdicts.job_id = claimed.job_id
            AND ordinal BETWEEN first_ordinal AND first_ordinal + cardinality(refs) - 1
    ) END AS judged, set_config('synchronous_commit', 'off', true)
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
""")


def claim_chunk(
    engine: Engine, chunk_id: uuid.UUID, claimant: str, lease_s: float, *, losses: int | None = None
) -> Claim | None:
    """Claim the chunk for `claimant`; return None if somebody else has it, or it has ended.

    Also None if it is put off or paused, or the claimant's worker is draining. A claimant that has the chunk gets it
    again, because the connection may have broken after the claim was stored. With `losses`, also None if the chunk was
    lost since they were counted, because its claimant must then treat it differently.
    """
    with engine.begin() as connection:
        row = connection.execute(
            CLAIM_CHUNK, {"id": chunk_id, "claimant": claimant, "lease_s": lease_s, "losses": losses}
        ).one_or_none()
        if row is None:
            return None
        raise_totals(connection, count_one(Total.CHUNKS_CLAIMED))
    return read_claim(row._mapping)


def read_claim(row: RowMapping) -> Claim:
    """Return the claim of a row with the columns of a claim, and the chunk's id as `id`."""
    values: dict[str, Any] = {**row, "chunk_id": row["id"], "priority": Priority.read(row["priority"])}
    return Claim(**{each.name: values[each.name] for each in fields(Claim)})


# Ends a chunk or puts it off, and stores its verdicts and the job's counters; does nothing unless the claim is valid.
FINISH_CHUNK = text(f"""
    WITH ended AS (
        UPDATE chunks SET lease_until = NULL,
            state = CASE WHEN CAST(:put_off_s AS float8) IS NULL THEN 'done' ELSE 'pending' END,
            tries = tries + CASE WHEN CAST(:put_off_s AS float8) IS NULL THEN 0 ELSE 1 END,
            not_before = now() + make_interval(secs => :put_off_s)
        WHERE id = :id AND attempt = :attempt AND state = 'running'
        RETURNING job_id, worker, attempt
    ), locked AS (
        {LOCK_JOB.format(job="(SELECT job_id FROM ended)")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, {", ".join(VERDICT_COLUMNS)})
        SELECT locked.*, listed.* FROM locked, unnest({VERDICT_LISTS}) AS listed
        ON CONFLICT (job_id, ordinal) DO NOTHING
        RETURNING ordinal, outcome
    ), recorded AS (
        {RECORD_PROVENANCE}
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
        RETURNING pg_notify(:channel, jobs.id::text), canary, extract(epoch FROM now() - created_at) AS age_s
    )
    SELECT age_s, canary, ARRAY(SELECT ordinal FROM written) AS written FROM progressed
""")


def finish_chunk(engine: Engine, claim: Claim, verdicts: Sequence[NewVerdict], put_off_s: float | None = None) -> bool:
    """Store these verdicts, count them in the job, and end the chunk, in one transaction.

    With `put_off_s`, the chunk does not end: its other images are scanned again after so many seconds.
    Returns False, and stores nothing, if the claim is no longer valid.
    """
    with engine.begin() as connection:
        finished = connection.execute(
            FINISH_CHUNK,
            {
                "id": claim.chunk_id,
                "attempt": claim.attempt,
                "put_off_s": put_off_s,
                "channel": FINISHED,
                "code_version": VERSION,
                **list_columns(verdicts),
            },
        ).one_or_none()
        if finished is None:
            return False
        written = set() if finished.canary else set(finished.written)
        stored = (verdict for verdict in verdicts if verdict.ordinal in written)
        counts = count_verdicts(stored, claim.priority, float(finished.age_s))
        if put_off_s is not None:
            counts += count_one(Total.CHUNKS_PUT_OFF)
        raise_totals(connection, counts)
    return True


# Ends a lease, unless the claim is already lost.
END_LEASE = text("UPDATE chunks SET lease_until = now() WHERE id = :id AND attempt = :attempt AND state = 'running'")


def lose_chunk(engine: Engine, claim: Claim) -> None:
    """End the lease of a chunk that needed more memory than there is, so that the dispatcher counts a loss."""
    with engine.begin() as connection:
        connection.execute(END_LEASE, {"id": claim.chunk_id, "attempt": claim.attempt})
        connection.execute(text(f"NOTIFY {SUBMITTED}"))


# Resets a running chunk as if it had not been claimed.
RELEASE_CHUNK = text("""
    UPDATE chunks SET state = 'pending', worker = NULL, lease_until = NULL
    WHERE id = :id AND attempt = :attempt AND state = 'running'
""")


def release_chunks(engine: Engine, claims: Sequence[Claim]) -> None:
    """Give back chunks that will not be finished here; this counts as no loss."""
    with engine.begin() as connection:
        released = sum(
            connection.execute(RELEASE_CHUNK, {"id": claim.chunk_id, "attempt": claim.attempt}).rowcount
            for claim in claims
        )
        connection.execute(text(f"NOTIFY {SUBMITTED}"))
        raise_totals(connection, count_one(Total.CHUNKS_GIVEN_BACK, by=released))


# Extends leases.
RENEW_LEASES = text("""
    UPDATE chunks SET lease_until = now() + make_interval(secs => :lease_s)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) AS held (id, attempt)
    WHERE chunks.id = held.id AND chunks.attempt = held.attempt AND state = 'running'
    RETURNING chunks.id, chunks.attempt
""")


def renew_leases(engine: Engine, claims: Sequence[Claim], lease_s: float) -> list[Claim]:
    """Extend the valid leases; return the claims that are lost: a lost lease cannot be renewed."""
    with engine.begin() as connection:
        rows = connection.execute(
            RENEW_LEASES,
            {
                "ids": [claim.chunk_id for claim in claims],
                "attempts": [claim.attempt for claim in claims],
                "lease_s": lease_s,
            },
        )
        held = {(row.id, row.attempt) for row in rows}
    return [claim for claim in claims if (claim.chunk_id, claim.attempt) not in held]
