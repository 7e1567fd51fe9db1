"""Verdicts: the row that each submitted reference ends as, and the queries over them."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, RowMapping, text

from storage.database import reading

PAGE = 1000


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict to be stored; `sha256` is of the file's bytes, sizes are in pixels and bytes.

    `reused` says that V4 was not asked again: it is an earlier verdict of the same model on the same bytes.
    """

    ordinal: int
    uri: str
    outcome: str
    sha256: bytes | None = None
    stego_probability: float | None = None
    method: str | None = None
    bit_order: str | None = None
    extracted_message: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    model_id: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    size_bytes: int | None = None
    reused: bool = False


# The columns of NewVerdict with their PostgreSQL types, in the order of its fields.
VERDICT_COLUMNS = {
    "ordinal": "int4",
    "uri": "text",
    "outcome": "text",
    "sha256": "bytea",
    "stego_probability": "real",
    "method": "text",
    "bit_order": "text",
    "extracted_message": "text",
    "error_code": "text",
    "error_detail": "text",
    "model_id": "int4",
    "width": "int4",
    "height": "int4",
    "format": "text",
    "size_bytes": "int8",
    "reused": "bool",
}


def columns_of(verdicts: Sequence[NewVerdict]) -> dict[str, list[Any]]:
    """Return the verdicts column by column, for `unnest`."""
    return {field.name: [getattr(verdict, field.name) for verdict in verdicts] for field in fields(NewVerdict)}


# One verdict as the command prints it and the API answers it; the keys are an interface.
Record = dict[str, Any]
RECORD_KEYS = (
    "job_id", "ordinal", "uri", "sha256", "outcome", "is_stego", "stego_probability", "confidence", "prediction",
    "stego_type", "bit_order", "extracted_message", "error_code", "error_detail", "model", "threshold", "width",
    "height", "format", "size_bytes", "reused", "scanned_at",
)  # fmt: skip

SELECT = """
    SELECT verdicts.*, models.name AS model_name, models.version AS model_version, models.sha256 AS model_sha256,
        CASE WHEN models.id IS NOT NULL THEN coalesce(jobs.threshold, models.threshold) END AS threshold
    FROM verdicts JOIN jobs ON jobs.id = verdicts.job_id LEFT JOIN models ON models.id = verdicts.model_id
"""


def record(row: RowMapping) -> Record:
    """Return the row under the names of the interface; without a score, what rests on it is None."""
    probability = row["stego_probability"]
    scored = probability is not None
    model = None
    if row["model_sha256"]:
        model = f"{row['model_name']}-{row['model_version']}@sha256:{row['model_sha256']}"
    return {
        "job_id": str(row["job_id"]),
        "ordinal": row["ordinal"],
        "uri": row["uri"],
        "sha256": row["sha256"].hex() if row["sha256"] else None,
        "outcome": row["outcome"],
        "is_stego": row["outcome"] == "stego" if scored else None,
        "stego_probability": probability,
        "confidence": max(probability, 1 - probability) if scored else None,
        "prediction": row["outcome"] if scored else None,
        "stego_type": row["method"],
        "bit_order": row["bit_order"],
        "extracted_message": row["extracted_message"],
        "error_code": row["error_code"],
        "error_detail": row["error_detail"],
        "model": model,
        "threshold": row["threshold"],
        "width": row["width"],
        "height": row["height"],
        "format": row["format"],
        "size_bytes": row["size_bytes"],
        "reused": row["reused"],
        "scanned_at": row["scanned_at"].isoformat(),
    }


@dataclass(frozen=True, slots=True)
class VerdictFilter:
    """Which verdicts to find; what is None does not narrow the search. `sha256` is in hex, `until` is exclusive."""

    job_id: uuid.UUID | None = None
    submitter: str | None = None
    outcome: str | None = None
    method: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    sha256: str | None = None
    error_codes: tuple[str, ...] | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Return the WHERE clause and its parameters."""
        narrowed: dict[str, dict[str, Any]] = {
            "verdicts.job_id = :job_id": {"job_id": self.job_id},
            "verdicts.job_id IN (SELECT id FROM jobs WHERE submitter = :submitter)": {"submitter": self.submitter},
            "outcome = :outcome": {"outcome": self.outcome},
            "method = :method": {"method": self.method},
            "scanned_at >= :since": {"since": self.since},
            "scanned_at < :until": {"until": self.until},
            "error_code = ANY(:error_codes)": {"error_codes": list(self.error_codes) if self.error_codes else None},
            "verdicts.sha256 = :sha256": {"sha256": bytes.fromhex(self.sha256) if self.sha256 else None},
        }
        used = {clause: values for clause, values in narrowed.items() if None not in values.values()}
        parameters = {name: value for values in used.values() for name, value in values.items()}
        return " AND ".join(used) or "true", parameters


class Position(NamedTuple):
    """Where a search goes on: behind the verdict that has these."""

    scanned_at: datetime
    job_id: uuid.UUID
    ordinal: int

    @classmethod
    def of(cls, verdict: Record) -> "Position":
        """Return the position of this verdict."""
        return cls(datetime.fromisoformat(verdict["scanned_at"]), uuid.UUID(verdict["job_id"]), verdict["ordinal"])


def find_verdicts(
    engine: Engine, wanted: VerdictFilter, limit: int | None = None, after: Position | None = None
) -> Iterator[Record]:
    """Yield verdicts, from the one behind `after` on; those of one job in the order of submission, others newest first.

    They are read page by page: memory does not grow with their number, and a slow reader holds no connection.
    """
    left = sys.maxsize if limit is None else limit
    while left > 0:
        page = _page(engine, wanted, min(PAGE, left), after)
        yield from page
        if len(page) < min(PAGE, left):
            return
        left -= len(page)
        after = Position.of(page[-1])


def _page(engine: Engine, wanted: VerdictFilter, limit: int, after: Position | None) -> list[Record]:
    where, parameters = wanted.conditions()
    order = "ordinal" if wanted.job_id else "scanned_at DESC, verdicts.job_id DESC, ordinal"
    if after is not None:
        where += f" AND {BEHIND_IN_JOB if wanted.job_id else BEHIND}"
        parameters |= {f"after_{name}": value for name, value in after._asdict().items()}
    query = text(f"{SELECT} WHERE {where} ORDER BY {order} LIMIT :limit")
    with reading(engine) as connection:
        return [record(row) for row in connection.execute(query, {**parameters, "limit": limit}).mappings()]


BEHIND_IN_JOB = "ordinal > :after_ordinal"
# The first condition follows from the second, and is one that the index can use.
BEHIND = """
    scanned_at <= :after_scanned_at AND (
        scanned_at < :after_scanned_at OR verdicts.job_id < :after_job_id
        OR verdicts.job_id = :after_job_id AND ordinal > :after_ordinal
    )
"""


# The job stays locked from here to the commit, so that its verdicts become visible in the order of `landed`.
LOCK_JOB = "SELECT id, clean + stego + error AS landed FROM jobs WHERE id = {job} FOR NO KEY UPDATE"


class Place(NamedTuple):
    """Where a verdict stands in the order in which those of its job were stored; see `storage.schema.Verdict`."""

    landed: int
    ordinal: int


FIRST = Place(0, -1)


def verdicts_landed(
    engine: Engine, job_id: uuid.UUID, after: Place = FIRST, limit: int = PAGE
) -> list[tuple[Place, Record]]:
    """Return verdicts of a job in the order in which they were stored, from the one behind `after` on.

    What is stored later comes later: who asks again with the last place that he has misses nothing.
    """
    query = text(f"""
        {SELECT} WHERE verdicts.job_id = :job_id AND (landed, ordinal) > (:landed, :ordinal)
        ORDER BY landed, ordinal LIMIT :limit
    """)
    with reading(engine) as connection:
        rows = connection.execute(query, {"job_id": job_id, "limit": limit, **after._asdict()}).mappings()
        return [(Place(row["landed"], row["ordinal"]), record(row)) for row in rows]


def verdicts_between(engine: Engine, job_id: uuid.UUID, first: int, last: int) -> list[Record]:
    """Return the verdicts of a job with ordinals from `first` to `last`, in order; gaps are where none is yet."""
    query = text(f"{SELECT} WHERE job_id = :job_id AND ordinal BETWEEN :first AND :last ORDER BY ordinal")
    with reading(engine) as connection:
        rows = connection.execute(query, {"job_id": job_id, "first": first, "last": last}).mappings()
        return [record(row) for row in rows]
