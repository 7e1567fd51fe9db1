"""Jobs: submitted in one transaction, followed, listed, cancelled and audited."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, RowMapping, text

from storage.database import FINISHED, SUBMITTED, reading
from storage.verdicts import LOCK_JOB


class EmptyJobError(ValueError):
    """A job needs at least one image."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: `created` is false where the idempotency key named an earlier job."""

    job_id: uuid.UUID
    total: int
    created: bool


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job: its references by outcome, and when it was created, started and finished (UTC).

    `retry_of` is the job whose failed images this one scans again.
    """

    id: uuid.UUID
    name: str | None
    submitter: str
    priority: str
    threshold: float | None
    state: str
    total: int
    clean: int
    stego: int
    error: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: uuid.UUID | None

    @property
    def finished(self) -> int:
        """How many references have their verdict."""
        return self.clean + self.stego + self.error

    @property
    def ended(self) -> bool:
        """Whether no verdict is to come any more."""
        return self.finished == self.total


@dataclass(frozen=True, slots=True)
class Audit:
    """The accounting of one job, counted from the rows themselves, not from the job's own counters."""

    job_id: uuid.UUID
    references: int
    verdicts: int
    missing: int
    double: int
    counters_agree: bool

    @property
    def exact(self) -> bool:
        """Whether every reference has exactly one verdict, and the job says so."""
        return self.missing == 0 and self.double == 0 and self.references == self.verdicts and self.counters_agree


def submit_job(
    engine: Engine,
    references: Iterable[str],
    *,
    submitter: str,
    name: str | None = None,
    idempotency_key: str | None = None,
    priority: str = "bulk",
    threshold: float | None = None,
    webhook: str | None = None,
    chunk_size: int = 64,
) -> Submission:
    """Store a job and its chunks in one transaction, reading `references` once and holding one chunk of them.

    `threshold` is the stego probability from which on the job's images count as stego; None: the model's.
    `webhook` is the URL that is told when the job has ended.

    With an idempotency key that this submitter used before, the earlier job is returned and `references` is not read.
    Raises EmptyJobError where there is no reference; then nothing is stored.
    """
    with engine.begin() as connection:
        job_id = connection.execute(
            text("""
                INSERT INTO jobs (name, submitter, idempotency_key, priority, threshold, total)
                VALUES (:name, :submitter, :key, :priority, :threshold, 0)
                ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id
            """),
            {
                "name": name,
                "submitter": submitter,
                "key": idempotency_key,
                "priority": priority,
                "threshold": threshold,
            },
        ).scalar()
        if job_id is None:
            earlier = connection.execute(
                text("SELECT id, total FROM jobs WHERE submitter = :submitter AND idempotency_key = :key"),
                {"submitter": submitter, "key": idempotency_key},
            ).one()
            return Submission(earlier.id, earlier.total, created=False)
        total = _copy_chunks(connection, job_id, submitter, priority, references, chunk_size)
        if total == 0:
            raise EmptyJobError("there is no image to scan")
        connection.execute(
            text("UPDATE jobs SET total = :total WHERE id = :id RETURNING pg_notify(:channel, '')"),
            {"total": total, "id": job_id, "channel": SUBMITTED},
        )
        if webhook is not None:
            connection.execute(
                text("INSERT INTO webhooks (job_id, url) VALUES (:id, :url)"), {"id": job_id, "url": webhook}
            )
    return Submission(job_id, total, created=True)


def _copy_chunks(
    connection: Connection,
    job_id: uuid.UUID,
    submitter: str,
    priority: str,
    references: Iterable[str],
    chunk_size: int,
) -> int:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    total = 0
    statement = "COPY chunks (job_id, submitter, priority, first_ordinal, refs) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["uuid", "text", "text", "int4", "text[]"])
        for refs in _chunked(references, chunk_size):
            copy.write_row((job_id, submitter, priority, total, refs))
            total += len(refs)
    return total


def _chunked(references: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(references)
    while refs := list(islice(remaining, size)):
        yield refs


def job_record(status: JobStatus) -> dict[str, Any]:
    """Return the job as the command prints it and webhooks carry it: ids and times (ISO 8601) as text."""
    record = {**asdict(status), "finished": status.finished}
    return {name: _as_text(value) for name, value in record.items()}


def _as_text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value


JOB_COLUMNS = ", ".join(field.name for field in fields(JobStatus))


def get_job(engine: Engine, job_id: uuid.UUID) -> JobStatus | None:
    """Return the job, or None where there is none with this id."""
    with reading(engine) as connection:
        row = connection.execute(text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = :id"), {"id": job_id}).mappings()
        found = row.one_or_none()
    return _status(found) if found else None


def count_finished(engine: Engine, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return how many references of each of these jobs have their verdict; jobs that do not exist are left out."""
    with reading(engine) as connection:
        query = text("SELECT id, clean + stego + error AS finished FROM jobs WHERE id = ANY(:ids)")
        return {row.id: row.finished for row in connection.execute(query, {"ids": list(job_ids)})}


def list_jobs(
    engine: Engine, *, limit: int = 20, submitter: str | None = None, before: uuid.UUID | None = None
) -> list[JobStatus]:
    """Return the newest jobs, newest first: of one submitter, and older than a job, where these are given."""
    narrowed = {"submitter = :submitter": submitter, "id < :before": before}
    where = " AND ".join(condition for condition, value in narrowed.items() if value is not None) or "true"
    with reading(engine) as connection:
        rows = connection.execute(
            text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE {where} ORDER BY id DESC LIMIT :limit"),
            {"limit": limit, "submitter": submitter, "before": before},
        ).mappings()
        return [_status(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Images without a verdict in jobs that have not ended: of one submitter, and of all."""

    own: int
    all: int


def count_waiting(engine: Engine, submitter: str) -> Waiting:
    """Return how many images wait."""
    query = text("""
        SELECT coalesce(sum(total - clean - stego - error) FILTER (WHERE submitter = :submitter), 0) AS own,
            coalesce(sum(total - clean - stego - error), 0) AS all_together
        FROM jobs WHERE state IN ('pending', 'running')
    """)
    with reading(engine) as connection:
        row = connection.execute(query, {"submitter": submitter}).one()
    return Waiting(row.own, row.all_together)


def _status(row: RowMapping) -> JobStatus:
    return JobStatus(**{str(name): value for name, value in row.items()})


def cancel_job(engine: Engine, job_id: uuid.UUID) -> int | None:
    """End the job: each reference without a verdict gets an `error` verdict with code `cancelled`.

    Returns how many did, or None where there is no such job. A chunk that is running loses its claim.
    """
    with engine.begin() as connection:
        # Chunks before the job, the order in which workers lock them too. Again until none is left: a chunk that
        # was split while we waited for its lock has pieces that the first look did not see.
        while connection.execute(OPEN_CHUNKS, {"id": job_id}).scalar_one():
            connection.execute(CANCEL_CHUNKS, {"id": job_id})
        cancelled = connection.execute(CANCEL_JOB, {"id": job_id, "channel": FINISHED}).scalar()
    return None if cancelled is None else int(cancelled)


CANCEL_CHUNKS = text("""
    UPDATE chunks SET state = 'cancelled', lease_until = NULL
    WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running')
""")

OPEN_CHUNKS = text("""
    SELECT EXISTS (SELECT FROM chunks WHERE job_id = :id AND state IN ('pending', 'dispatched', 'running'))
""")

CANCEL_JOB = text(f"""
    WITH locked AS (
        {LOCK_JOB.format(job=":id")}
    ), written AS (
        INSERT INTO verdicts (job_id, landed, ordinal, uri, outcome, error_code, error_detail)
        SELECT locked.*, first_ordinal + position - 1, uri, 'error', 'cancelled', 'the job was cancelled'
        FROM locked, chunks, unnest(refs) WITH ORDINALITY AS listed (uri, position)
        WHERE chunks.job_id = locked.id AND chunks.state = 'cancelled'
        ON CONFLICT DO NOTHING RETURNING 1
    ), counted AS (
        SELECT count(*) AS written FROM written
    )
    UPDATE jobs SET error = error + written, state = CASE WHEN state = 'done' THEN 'done' ELSE 'cancelled' END,
        finished_at = coalesce(finished_at, now())
    FROM counted WHERE id = :id RETURNING written, pg_notify(:channel, id::text)
""")


def audit_jobs(engine: Engine, job_ids: Sequence[uuid.UUID] | None = None) -> Iterator[Audit]:
    """Yield the accounting of these jobs, or of all: one query per job."""
    with reading(engine) as connection:
        if job_ids is None:
            job_ids = list(connection.execute(text("SELECT id FROM jobs ORDER BY id")).scalars())
        for job_id in job_ids:
            row = connection.execute(text(AUDIT), {"id": job_id}).mappings().one()
            counts: dict[str, Any] = dict(row)
            yield Audit(job_id=job_id, **counts)


# A reference counts as missing where it has no verdict, a verdict as double where it has no reference of its own.
# Chunks that were split are replaced, so each reference stands in one chunk only; were it not so, the counters would
# disagree.
AUDIT = """
    WITH expected AS (
        SELECT first_ordinal + position - 1 AS ordinal, uri
        FROM chunks, unnest(refs) WITH ORDINALITY AS listed (uri, position) WHERE job_id = :id
    ), found AS (
        SELECT ordinal, uri, outcome FROM verdicts WHERE job_id = :id
    ), compared AS (
        SELECT count(expected.ordinal) AS "references", count(found.ordinal) AS verdicts,
            count(*) FILTER (WHERE found.ordinal IS NULL) AS missing,
            count(*) FILTER (WHERE expected.ordinal IS NULL) AS double,
            count(*) FILTER (WHERE outcome = 'clean') AS clean,
            count(*) FILTER (WHERE outcome = 'stego') AS stego,
            count(*) FILTER (WHERE outcome = 'error') AS error
        FROM expected FULL JOIN found ON expected.ordinal = found.ordinal AND expected.uri = found.uri
    )
    SELECT compared."references", compared.verdicts, compared.missing, compared.double,
        (jobs.total, jobs.clean, jobs.stego, jobs.error)
            = (compared."references", compared.clean, compared.stego, compared.error) AS counters_agree
    FROM compared, jobs WHERE jobs.id = :id
"""
