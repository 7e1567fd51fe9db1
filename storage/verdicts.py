"""Verdicts: the final row of each submitted reference, stored and read by job."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.dialects import postgresql

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.database import connect_to_read
from storage.new_verdict import NewVerdict
from storage.schema import results

PAGE = 1000
# The largest value of PostgreSQL's `integer`.
MAX_ORDINAL = 2**31 - 1

VERDICT_COLUMNS = tuple(field.name for field in fields(NewVerdict))
# The columns as parameters for `unnest`: one list each.
VERDICT_LISTS = ", ".join(
    f"CAST(:{name} AS {results.verdicts.c[name].type.compile(postgresql.dialect())}[])"  # type: ignore[no-untyped-call]
    for name in VERDICT_COLUMNS
)


def list_columns(verdicts: Sequence[NewVerdict]) -> dict[str, list[Any]]:
    """Return the verdicts column by column, for `VERDICT_LISTS`."""
    columns = {name: [getattr(verdict, name) for verdict in verdicts] for name in VERDICT_COLUMNS}
    return {**columns, "payload": [payload and _write_payload(payload) for payload in columns["payload"]]}


def _write_payload(payload: Payload) -> str:
    # Its text is the message, which has a column of its own.
    return json.dumps(to_json(replace(payload, text=None if payload.text is None else "")))


def read_payload(stored: dict[str, Any] | None, message: str | None) -> Payload | None:
    """Return the payload of a row with this message."""
    if stored is None:
        return None
    payload = from_json(Payload, stored)
    return payload if payload.text is None else replace(payload, text=message or "")


# The job is locked from here to the commit, so that its verdicts become visible in the order of `landed`.
LOCK_JOB = "SELECT id, clean + stego + error AS landed FROM jobs WHERE id = {job} FOR NO KEY UPDATE"

# Verdicts joined with job and model; `source` is their table, or a subquery.
SELECT_VERDICTS_OF = """
    SELECT verdicts.*, models.name AS model_name, models.version AS model_version, models.sha256 AS model_sha256,
        CASE WHEN models.id IS NOT NULL THEN coalesce(jobs.threshold, models.threshold) END AS threshold
    FROM {source} AS verdicts JOIN jobs ON jobs.id = verdicts.job_id LEFT JOIN models ON models.id = verdicts.model_id
"""
SELECT_VERDICTS = SELECT_VERDICTS_OF.format(source="verdicts")


def read_verdict(row: RowMapping) -> Verdict:
    """Return the verdict of a row of `SELECT_VERDICTS`; fields that depend on the score are None without one."""
    outcome, probability = Outcome.read(row["outcome"]), row["stego_probability"]
    scored = probability is not None
    model = None
    if row["model_sha256"]:
        model = f"{row['model_name']}-{row['model_version']}@sha256:{row['model_sha256']}"
    return Verdict(
        job_id=row["job_id"],
        ordinal=row["ordinal"],
        uri=row["uri"],
        sha256=row["sha256"].hex() if row["sha256"] else None,
        outcome=outcome,
        is_stego=outcome is Outcome.STEGO if scored else None,
        stego_probability=probability,
        confidence=max(probability, 1 - probability) if scored else None,
        prediction=outcome if scored else None,
        stego_type=Method.read(row["method"]) if row["method"] else None,
        bit_order=BitOrder.read(row["bit_order"]) if row["bit_order"] else None,
        extracted_message=row["extracted_message"],
        error_code=ErrorCode.read(row["error_code"]) if row["error_code"] else None,
        error_detail=row["error_detail"],
        model=model,
        threshold=row["threshold"],
        width=row["width"],
        height=row["height"],
        format=row["format"],
        size_bytes=row["size_bytes"],
        reused=row["reused"],
        scanned_at=row["scanned_at"],
        payload=read_payload(row["payload"], row["extracted_message"]),
    )


class Place(NamedTuple):
    """The position of a verdict in the order of storing within its job; see `storage.schema.results`."""

    landed: int
    ordinal: int


FIRST = Place(0, -1)

# Verdicts of a job after a place, in the order of storing.
LIST_LANDED = text(f"""
    {SELECT_VERDICTS} WHERE verdicts.job_id = :job_id AND (landed, ordinal) > (:landed, :ordinal)
    ORDER BY landed, ordinal LIMIT :limit
""")


def list_landed(
    engine: Engine, job_id: uuid.UUID, after: Place = FIRST, limit: int = PAGE
) -> list[tuple[Place, Verdict]]:
    """Return verdicts of a job in the order in which they were stored, after the place `after`.

    Verdicts stored later come later: a caller that continues from its last place misses nothing.
    """
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_LANDED, {"job_id": job_id, "limit": limit, **after._asdict()}).mappings()
        return [(Place(row["landed"], row["ordinal"]), read_verdict(row)) for row in rows]


# The first verdicts of jobs.
LIST_FIRST = text(f"{SELECT_VERDICTS} WHERE job_id = ANY(:job_ids) AND ordinal = 0")


def list_first(engine: Engine, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Verdict]:
    """Return the verdict on the first image of each of these jobs; jobs without one are left out."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_FIRST, {"job_ids": list(job_ids)}).mappings()
        return {row["job_id"]: read_verdict(row) for row in rows}


# Verdicts of a job by ordinal.
LIST_BETWEEN = text(f"{SELECT_VERDICTS} WHERE job_id = :job_id AND ordinal BETWEEN :first AND :last ORDER BY ordinal")


def list_between(engine: Engine, job_id: uuid.UUID, first: int, last: int) -> list[Verdict]:
    """Return the verdicts of a job with ordinals from `first` to `last`, in order; missing ones leave gaps."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_BETWEEN, {"job_id": job_id, "first": first, "last": last}).mappings()
        return [read_verdict(row) for row in rows]
