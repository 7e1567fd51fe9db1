"""Searching for verdicts: by filters, page by page."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import ErrorCode, Method, Outcome
from storage.inscription_search import narrow_to_inscription
from storage.message_search import HAS_PART, HAS_WORDS, connect_to_search, write_pattern
from storage.models import IS_MEANT
from storage.verdicts import PAGE, SELECT_VERDICTS_OF, read_verdict

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
