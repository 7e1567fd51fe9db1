"""Canaries: images whose truth we know, sent on the way of all others, and what came of each round of them.

A round is one job of `CANARY_SUBMITTER`. It is a row from its beginning on, and only one may be open: any number of
programs may want to run rounds. With its end, its answers are kept and its job is deleted, with its verdicts.
"""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.words import Method, Word
from storage.database import connect_to_read
from storage.jobs import cancel_job
from storage.purging import DELETE_JOBS
from storage.retention import release_blobs
from storage.settings import CANARY_SUBMITTER
from storage.totals import Counts, Total, name_bound, raise_totals

CLEAN = "none"
"""What is hidden in a clean image, as a label."""
KEPT_DAYS = 7
COUNTED_ROUNDS = 2016
# Longer than a round may take: what is older was left behind by a program that died.
ABANDONED_S = 300.0


class CanaryResult(Word):
    """What came of a canary, the worst last."""

    RIGHT = "right"  # as it was drawn
    UNREAD = "unread"  # judged rightly, but its message was not read whole
    WRONG = "wrong"  # judged as what it is not
    ERROR = "error"  # ended as an error
    MISSING = "missing"  # no verdict in time


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """What came of one canary.

    `hidden` is the method by which something was hidden in it, None where it is clean. `seconds` are those from its
    submission to its verdict; they and what V4 said are None where there is no verdict.
    """

    name: str
    hidden: Method | None
    result: CanaryResult
    outcome: str | None = None
    stego_type: str | None = None
    stego_probability: float | None = None
    error_code: str | None = None
    model: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CanaryRound:
    """A round that has ended: the seed that its images can be drawn from again, its answers, and the worst of them."""

    id: int
    seed: int
    started_at: datetime
    ended_at: datetime
    result: CanaryResult
    answers: tuple[CanaryAnswer, ...]

    @property
    def counts(self) -> Counter[CanaryResult]:
        """How many answers are which."""
        return count_results(self.answers)

    @property
    def slowest_s(self) -> float | None:
        """Seconds that the slowest answer took, None where none came."""
        return find_slowest(self.answers)


@dataclass(frozen=True, slots=True)
class Canaries:
    """The newest round that has ended, None where none has, and when the newest round with each result ended."""

    newest: CanaryRound | None
    ended_at: Mapping[CanaryResult, datetime]


@dataclass(frozen=True, slots=True)
class CanaryCount:
    """How many canaries in which this was hidden had this result by this model, None where none answered."""

    model: str | None
    hidden: Method | None
    result: CanaryResult
    images: int


def find_worst(answers: Sequence[CanaryAnswer]) -> CanaryResult:
    """Return the worst result, `missing` where there is no answer."""
    words = list(CanaryResult)
    return max((answer.result for answer in answers), key=words.index, default=CanaryResult.MISSING)


def count_results(answers: Sequence[CanaryAnswer]) -> Counter[CanaryResult]:
    """Return how many answers are which."""
    return Counter(answer.result for answer in answers)


def find_slowest(answers: Sequence[CanaryAnswer]) -> float | None:
    """Return the seconds that the slowest answer took, None where none came."""
    return max((answer.seconds for answer in answers if answer.seconds is not None), default=None)


# A round that was left behind.
FORGET_ABANDONED = text(f"""
    DELETE FROM canary_rounds WHERE ended_at IS NULL AND started_at < now() - make_interval(secs => {ABANDONED_S})
""")

# A new round, nothing where one is open or began too short a time ago.
BEGIN_ROUND = text("""
    INSERT INTO canary_rounds (seed) SELECT :seed
    WHERE NOT EXISTS (
        SELECT FROM (SELECT started_at FROM canary_rounds ORDER BY id DESC LIMIT 1) AS newest
        WHERE started_at > now() - make_interval(secs => :interval_s)
    )
    ON CONFLICT DO NOTHING RETURNING id
""")


def begin_round(engine: Engine, seed: int, interval_s: float) -> int | None:
    """Begin a round and return its id, or None: another runs, or began within so many seconds before now."""
    with engine.begin() as connection:
        connection.execute(FORGET_ABANDONED)
        found: int | None = connection.execute(BEGIN_ROUND, {"seed": seed, "interval_s": interval_s}).scalar()
    return found


# The end of a round, nothing where it was given up.
END_ROUND = text("""
    UPDATE canary_rounds SET ended_at = now(), result = :result, answers = CAST(:answers AS jsonb)
    WHERE id = :id AND ended_at IS NULL RETURNING id
""")

# Rounds that nobody asks for any more.
FORGET_OLD = text(f"""
    DELETE FROM canary_rounds
    WHERE result = ANY(CAST(:results AS text[])) AND ended_at < now() - make_interval(days => {KEPT_DAYS})
""")


def end_round(engine: Engine, round_id: int, job_id: uuid.UUID, answers: Sequence[CanaryAnswer]) -> None:
    """Keep and count what came of a round, once, and delete its job, of which nothing may run any more."""
    result = find_worst(answers)
    with engine.begin() as connection:
        _delete_job(connection, job_id)
        connection.execute(FORGET_OLD, {"results": list(CanaryResult)})
        written = {"id": round_id, "result": result, "answers": json.dumps([to_json(answer) for answer in answers])}
        if connection.execute(END_ROUND, written).one_or_none() is not None:
            raise_totals(connection, count_round(result, answers))


def count_round(result: CanaryResult, answers: Sequence[CanaryAnswer]) -> Counts:
    """Return the counts of a round."""
    counts: Counts = Counter({(Total.CANARY_ROUNDS, result.value): 1})
    for answer in answers:
        counts[Total.CANARY_IMAGES, f"{answer.hidden or CLEAN} {answer.result}"] += 1
        if answer.seconds is not None:
            counts[Total.CANARY_SECONDS, name_bound(answer.seconds)] += 1
            counts[Total.CANARY_MILLISECONDS, ""] += round(1000 * answer.seconds)
    return counts


# A round that is given up as if it had not begun.
GIVE_UP_ROUND = text("DELETE FROM canary_rounds WHERE id = :id AND ended_at IS NULL")


def give_up_round(engine: Engine, round_id: int, job_id: uuid.UUID | None) -> None:
    """Forget a round that its program cannot go on with, and its job, if it came to that."""
    if job_id is not None:
        cancel_job(engine, job_id)
    with engine.begin() as connection:
        if job_id is not None:
            _delete_job(connection, job_id)
        connection.execute(GIVE_UP_ROUND, {"id": round_id})


# Jobs that were left behind.
LIST_ABANDONED = text(f"""
    SELECT id FROM jobs WHERE canary AND created_at < now() - make_interval(secs => {ABANDONED_S})
""")


def delete_abandoned_canaries(engine: Engine) -> int:
    """Delete jobs of canaries whose program died; return how many these were."""
    with connect_to_read(engine) as connection:
        abandoned = list(connection.execute(LIST_ABANDONED).scalars())
    for job_id in abandoned:
        cancel_job(engine, job_id)
        with engine.begin() as connection:
            _delete_job(connection, job_id)
    return len(abandoned)


def _delete_job(connection: Connection, job_id: uuid.UUID) -> None:
    release_blobs(connection, [(job_id, CANARY_SUBMITTER)], but_evidence=False)
    connection.execute(DELETE_JOBS, {"ids": [job_id]})


# The newest round that has ended.
READ_NEWEST = text("SELECT * FROM canary_rounds WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1")

# When the newest round with each result ended.
LIST_ENDS = text("""
    SELECT result, (SELECT max(ended_at) FROM canary_rounds WHERE canary_rounds.result = listed.result) AS ended_at
    FROM unnest(CAST(:results AS text[])) AS listed (result)
""")


def read_canaries(engine: Engine) -> Canaries:
    """Return the newest round, and when there was one with each result, for as long as rounds are kept."""
    with connect_to_read(engine) as connection:
        newest = connection.execute(READ_NEWEST).one_or_none()
        ends = connection.execute(LIST_ENDS, {"results": list(CanaryResult)}).all()
    return Canaries(
        newest=None if newest is None else _read_round(newest),
        ended_at={CanaryResult(row.result): row.ended_at for row in ends if row.ended_at is not None},
    )


# What came of the canaries of the newest rounds: of a week, where one begins every five minutes.
COUNT_ANSWERS = text("""
    SELECT answer ->> 'model' AS model, answer ->> 'hidden' AS hidden, answer ->> 'result' AS result,
        count(*) AS images
    FROM (
        SELECT answers FROM canary_rounds WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT :rounds
    ) AS newest CROSS JOIN LATERAL jsonb_array_elements(answers) AS listed (answer)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")


def count_answers(engine: Engine) -> list[CanaryCount]:
    """Return what came of the canaries of the newest `COUNTED_ROUNDS`."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(COUNT_ANSWERS, {"rounds": COUNTED_ROUNDS}).all()
    return [
        CanaryCount(
            row.model, Method.read(row.hidden) if row.hidden else None, CanaryResult.read(row.result), row.images
        )
        for row in rows
    ]


def _read_round(row: Row[Any]) -> CanaryRound:
    answers = tuple(from_json(CanaryAnswer, answer) for answer in row.answers)
    return CanaryRound(row.id, row.seed, row.started_at, row.ended_at, CanaryResult.read(row.result), answers)
