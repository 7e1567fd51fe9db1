"""Audits: jobs accounted for by counting the rows themselves."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from storage.database import connect_to_read


@dataclass(frozen=True, slots=True)
class Audit:
    """The sums of one job's references and verdicts; the job's own counters are only compared with them."""

    job_id: uuid.UUID
    references: int
    verdicts: int
    missing: int
    double: int
    counters_agree: bool

    @property
    def exact(self) -> bool:
        """Whether every reference has exactly one verdict, and the job's counters agree."""
        return self.missing == 0 and self.double == 0 and self.references == self.verdicts and self.counters_agree


# All jobs except canaries, which may be deleted during the audit.
LIST_JOB_IDS = text("SELECT id FROM jobs WHERE NOT canary ORDER BY id")

# A reference without a verdict is missing; a verdict without its own reference is double. Split chunks are replaced, so
# each reference is in one chunk only; if it were in two, the counters would disagree.
AUDIT_JOB = text("""
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
""")


def audit_jobs(engine: Engine, job_ids: Sequence[uuid.UUID] | None = None) -> Iterator[Audit]:
    """Yield the audit of these jobs, or of all jobs; runs one query per job."""
    with connect_to_read(engine) as connection:
        if job_ids is None:
            job_ids = list(connection.execute(LIST_JOB_IDS).scalars())
        for job_id in job_ids:
            counts: dict[str, Any] = dict(connection.execute(AUDIT_JOB, {"id": job_id}).mappings().one())
            yield Audit(job_id=job_id, **counts)
