"""Verdicts: the final row of each submitted reference, and the queries on them."""

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.dialects import postgresql

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.database import connect_to_read
from storage.inscription_search import narrow_to_inscription
from storage.message_search import HAS_PART, HAS_WORDS, connect_to_search, write_pattern
from storage.models import IS_MEANT
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


MEANT_MODELS = f"SELECT id FROM models WHERE {IS_MEANT}"
# Evaluated once per search; there are only a few canary jobs at any time.
NO_CANARY = "verdicts.job_id <> ALL (ARRAY(SELECT id FROM jobs WHERE canary))"


def check_period(since: datetime | None, until: datetime | None) -> None:
    """Raise ValueError if `since` is later than `until`: no verdict lies between them."""
    if since and until and since > until:
        raise ValueError(
            f"since {since.isoformat()} is later than until {until.isoformat()}, so nothing lies between: exchange them"
        )


@dataclass(frozen=True, slots=True)
class VerdictFilter:
    """Filters of a search for verdicts; None means no restriction.

    Verdicts on canaries are found only if their job or submitter is given. `sha256` is in hex; `until` is exclusive,
    probabilities are inclusive. `model` is NAME-VERSION, VERSION, or the start of its SHA-256. All `words` must occur
    in the extracted message, in any order; `part` is a substring of it. Both ignore case. `inscription` is `TXID:iN`,
    or `TXID` for a whole transaction.
    """

    job_id: uuid.UUID | None = None
    submitter: str | None = None
    outcome: Outcome | None = None
    method: Method | None = None
    since: datetime | None = None
    until: datetime | None = None
    sha256: str | None = None
    error_codes: Sequence[ErrorCode] | None = None
    min_probability: float | None = None
    max_probability: float | None = None
    model: str | None = None
    words: str | None = None
    part: str | None = None
    inscription: str | None = None

    @property
    def in_messages(self) -> bool:
        """Whether it searches in messages."""
        return self.words is not None or self.part is not None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Return the WHERE clause and its parameters."""
        # Only stego verdicts have a method: this condition lets the index on both be used without an outcome.
        narrowed: dict[str, dict[str, Any]] = {
            "verdicts.job_id = :job_id": {"job_id": self.job_id},
            "verdicts.job_id IN (SELECT id FROM jobs WHERE submitter = :submitter)": {"submitter": self.submitter},
            "outcome = :outcome": {"outcome": self.outcome},
            "outcome = 'stego' AND method = :method": {"method": self.method},
            "scanned_at >= :since": {"since": self.since},
            "scanned_at < :until": {"until": self.until},
            **self._narrow_to_codes(),
            "stego_probability >= :min_probability": {"min_probability": self.min_probability},
            "stego_probability <= :max_probability": {"max_probability": self.max_probability},
            # The second part is asked once, before any verdict is read: of a name that no model has, none is.
            f"model_id IN ({MEANT_MODELS}) AND EXISTS ({MEANT_MODELS})": {"model": self.model},
            "verdicts.sha256 = :sha256": {"sha256": bytes.fromhex(self.sha256) if self.sha256 else None},
            **narrow_to_inscription(self.inscription),
            HAS_WORDS: {"words": self.words},
            HAS_PART: {"part": None if self.part is None else write_pattern(self.part)},
        }
        used = {clause: values for clause, values in narrowed.items() if None not in values.values()}
        if self.job_id is None and self.submitter is None:
            used[NO_CANARY] = {}
        parameters = {name: value for values in used.values() for name, value in values.items()}
        return " AND ".join(used) or "true", parameters

    def _narrow_to_codes(self) -> dict[str, dict[str, Any]]:
        codes = list(self.error_codes or ())
        # For a single code, the index is ordered by time.
        if len(codes) == 1:
            return {"error_code = :error_code": {"error_code": codes[0]}}
        return {"error_code = ANY(:error_codes)": {"error_codes": codes}} if codes else {}


class Position(NamedTuple):
    """The position from which a search continues: after the verdict with these values."""

    scanned_at: datetime
    job_id: uuid.UUID
    ordinal: int

    @classmethod
    def of(cls, verdict: Verdict) -> "Position":
        """Return the position of this verdict."""
        return cls(verdict.scanned_at, verdict.job_id, verdict.ordinal)


def find_verdicts(
    engine: Engine, wanted: VerdictFilter, limit: int | None = None, after: Position | None = None
) -> Iterator[Verdict]:
    """Yield verdicts after the position `after`; those of one job in order of submission, otherwise newest first.

    They are read page by page: memory is constant, and a slow reader holds no connection. Raises
    QueryTooLongError if a page of a search in messages takes too long.
    """
    left = sys.maxsize if limit is None else limit
    while left > 0:
        page = _read_page(engine, wanted, min(PAGE, left), after)
        yield from page
        if len(page) < min(PAGE, left):
            return
        left -= len(page)
        after = Position.of(page[-1])


def find_previous(engine: Engine, wanted: VerdictFilter, limit: int, before: Position) -> list[Verdict]:
    """Return the verdicts directly before the position `before`, at most `limit`, in the order of `find_verdicts`.

    Raises QueryTooLongError if a search in messages takes too long.
    """
    return _read_page(engine, wanted, limit, before, backwards=True)[::-1]


FIND_VERDICTS = SELECT_VERDICTS_OF + " WHERE {conditions} ORDER BY {order} LIMIT :limit"


class Walk(NamedTuple):
    """The parts of the query for one page of a search: its order, and the condition to be beyond a position."""

    order: str
    beyond: str


IN_JOB = Walk("ordinal", "ordinal > :at_ordinal")
BACK_IN_JOB = Walk("ordinal DESC", "ordinal < :at_ordinal")
# The first condition follows from the second, and lets the index be used.
BEYOND = """
    scanned_at {next}= :at_scanned_at AND (
        scanned_at {next} :at_scanned_at OR verdicts.job_id {next} :at_job_id
        OR verdicts.job_id = :at_job_id AND ordinal {next_ordinal} :at_ordinal
    )
"""
OF_ALL = Walk("scanned_at DESC, verdicts.job_id DESC, ordinal", BEYOND.format(next="<", next_ordinal=">"))
BACK_OF_ALL = Walk("scanned_at, verdicts.job_id, ordinal DESC", BEYOND.format(next=">", next_ordinal="<"))


# A range of probabilities with at most so many verdicts is rare: all of them are read. Otherwise, scanning from the
# newest on finds matches soon. The planner does not know which ranges are rare, so the LIMIT in a subquery decides
# which part is read first.
RARE = 5000
# These are the expressions of the index.
LEAST_INDEXED = 0.1
PROBABLE = f"""
    FROM verdicts WHERE stego_probability >= {LEAST_INDEXED}
        AND stego_probability >= :min_probability AND stego_probability <= :most_probable
    ORDER BY stego_probability LIMIT {RARE}
"""
COUNT_PROBABLE = text(f"SELECT count(*) FROM (SELECT {PROBABLE}) AS probable")
RARE_VERDICTS = f"(SELECT * {PROBABLE})"


def _read_page(
    engine: Engine, wanted: VerdictFilter, limit: int, at: Position | None, *, backwards: bool = False
) -> list[Verdict]:
    conditions, parameters = wanted.conditions()
    forwards, back = (IN_JOB, BACK_IN_JOB) if wanted.job_id else (OF_ALL, BACK_OF_ALL)
    walk = back if backwards else forwards
    if at is not None:
        conditions += f" AND {walk.beyond}"
        parameters |= {f"at_{name}": value for name, value in at._asdict().items()}
    by_index = wanted.job_id is None and (wanted.min_probability or 0.0) >= LEAST_INDEXED
    with connect_to_search(engine, in_messages=wanted.in_messages) as connection:
        source = "verdicts"
        if by_index:
            most = 1.0 if wanted.max_probability is None else wanted.max_probability
            parameters |= {"min_probability": wanted.min_probability, "most_probable": most}
            if connection.execute(COUNT_PROBABLE, parameters).scalar_one() < RARE:
                source = RARE_VERDICTS
        query = text(FIND_VERDICTS.format(source=source, conditions=conditions, order=walk.order))
        return [read_verdict(row) for row in connection.execute(query, {**parameters, "limit": limit}).mappings()]


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
