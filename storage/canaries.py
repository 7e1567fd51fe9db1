"""Canaries: images with known answers, sent through the normal pipeline, and the results of each round.

A round is one job of `CANARY_SUBMITTER`. Its row is inserted at the start, and only one round may be open, because
several programs may try to run one. At its end, its results are stored, and its job and verdicts are deleted.
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
"""The label for clean images, in place of a method."""
KEPT_DAYS = 7
COUNTED_ROUNDS = 2016
# Longer than a round may take: an older one was left behind by a program that died.
ABANDONED_S = 300.0


class CanaryResult(Word):
    """The result of a canary, from best to worst."""

    RIGHT = "right"  # as drawn
    UNREAD = "unread"  # judged correctly, but the message was not read completely
    WRONG = "wrong"  # judged as something else
    ERROR = "error"  # ended as an error
    MISSING = "missing"  # no verdict in time


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """The answer for one canary.

    `hidden` is the embedding method, None if the image is clean. `seconds` is the time from submission to verdict; it
    and V4's answer are None without a verdict.
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
    """An ended round: the seed to draw its images again, its answers, and the worst result."""

    id: int
    seed: int
    started_at: datetime
    ended_at: datetime
    result: CanaryResult
    answers: tuple[CanaryAnswer, ...]

    @property
    def counts(self) -> Counter[CanaryResult]:
        """The number of answers per result."""
        return count_results(self.answers)

    @property
    def slowest_s(self) -> float | None:
        """Seconds until the slowest answer, None without answers."""
        return find_slowest(self.answers)


@dataclass(frozen=True, slots=True)
class Canaries:
    """The latest ended round, None if there is none, and the time of the latest round with each result."""

    newest: CanaryRound | None
    ended_at: Mapping[CanaryResult, datetime]


@dataclass(frozen=True, slots=True)
class CanaryCount:
    """The number of canaries with this hidden method, result and model; the model is None without an answer."""

    model: str | None
    hidden: Method | None
    result: CanaryResult
    images: int


def find_worst(answers: Sequence[CanaryAnswer]) -> CanaryResult:
    """Return the worst result, `missing` without answers."""
    words = list(CanaryResult)
    return max((answer.result for answer in answers), key=words.index, default=CanaryResult.MISSING)


def count_results(answers: Sequence[CanaryAnswer]) -> Counter[CanaryResult]:
    """Return the number of answers per result."""
    return Counter(answer.result for answer in answers)


def find_slowest(answers: Sequence[CanaryAnswer]) -> float | None:
    """Return the seconds until the slowest answer, None without answers."""
    return max((answer.seconds for answer in answers if answer.seconds is not None), default=None)


# Gives up a round that was left behind.
FORGET_ABANDONED = text(f"""
    DELETE FROM canary_rounds WHERE ended_at IS NULL AND started_at < now() - make_interval(secs => {ABANDONED_S})
""")

# Inserts a round, unless one is open or began too recently.
BEGIN_ROUND = text("""
    INSERT INTO canary_rounds (seed) SELECT :seed
    WHERE NOT EXISTS (
        SELECT FROM (SELECT started_at FROM canary_rounds ORDER BY id DESC LIMIT 1) AS newest
        WHERE started_at > now() - make_interval(secs => :interval_s)
    )
    ON CONFLICT DO NOTHING RETURNING id
""")


def begin_round(engine: Engine, seed: int, interval_s: float) -> int | None:
    """Begin a round and return its id; None if another is open, or began less than so many seconds ago."""
    with engine.begin() as connection:
        connection.execute(FORGET_ABANDONED)
        found: int | None = connection.execute(BEGIN_ROUND, {"seed": seed, "interval_s": interval_s}).scalar()
    return found


# Ends a round, unless it was given up.
END_ROUND = text("""
    UPDATE canary_rounds SET ended_at = now(), result = :result, answers = CAST(:answers AS jsonb)
    WHERE id = :id AND ended_at IS NULL RETURNING id
""")

# Rounds older than the time for which they are kept.
FORGET_OLD = text(f"""
    DELETE FROM canary_rounds
    WHERE result = ANY(CAST(:results AS text[])) AND ended_at < now() - make_interval(days => {KEPT_DAYS})
""")


def end_round(engine: Engine, round_id: int, job_id: uuid.UUID, answers: Sequence[CanaryAnswer]) -> None:
    """Store and count the answers of a round, once, and delete its job, which must have ended."""
    result = find_worst(answers)
    with engine.begin() as connection:
        _delete_job(connection, job_id)
        connection.execute(FORGET_OLD, {"results": list(CanaryResult)})
        written = {"id": round_id, "result": result, "answers": json.dumps([to_json(answer) for answer in answers])}
        if connection.execute(END_ROUND, written).one_or_none() is not None:
            raise_totals(connection, count_round(result, answers))


def count_round(result: CanaryResult, answers: Sequence[CanaryAnswer]) -> Counts:
    """Return the totals of a round."""
    counts: Counts = Counter({(Total.CANARY_ROUNDS, result.value): 1})
    for answer in answers:
        counts[Total.CANARY_IMAGES, f"{answer.hidden or CLEAN} {answer.result}"] += 1
        if answer.seconds is not None:
            counts[Total.CANARY_SECONDS, name_bound(answer.seconds)] += 1
            counts[Total.CANARY_MILLISECONDS, ""] += round(1000 * answer.seconds)
    return counts


# Deletes a round as if it had not begun.
GIVE_UP_ROUND = text("DELETE FROM canary_rounds WHERE id = :id AND ended_at IS NULL")


def give_up_round(engine: Engine, round_id: int, job_id: uuid.UUID | None) -> None:
    """Delete a round that its program cannot finish, and its job, if it has one."""
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
    """Delete canary jobs whose program died; return their number."""
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


# The latest ended round.
READ_NEWEST = text("SELECT * FROM canary_rounds WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1")

# The time of the latest round with each result.
LIST_ENDS = text("""
    SELECT result, (SELECT max(ended_at) FROM canary_rounds WHERE canary_rounds.result = listed.result) AS ended_at
    FROM unnest(CAST(:results AS text[])) AS listed (result)
""")


def read_canaries(engine: Engine) -> Canaries:
    """Return the latest round, and the time of the latest one with each result, among the rounds that are kept."""
    with connect_to_read(engine) as connection:
        newest = connection.execute(READ_NEWEST).one_or_none()
        ends = connection.execute(LIST_ENDS, {"results": list(CanaryResult)}).all()
    return Canaries(
        newest=None if newest is None else _read_round(newest),
        ended_at={CanaryResult(row.result): row.ended_at for row in ends if row.ended_at is not None},
    )


# Answers of the latest rounds: those of a week, at one round every five minutes.
COUNT_ANSWERS = text("""
    SELECT answer ->> 'model' AS model, answer ->> 'hidden' AS hidden, answer ->> 'result' AS result,
        count(*) AS images
    FROM (
        SELECT answers FROM canary_rounds WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT :rounds
    ) AS newest CROSS JOIN LATERAL jsonb_array_elements(answers) AS listed (answer)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")


def count_answers(engine: Engine) -> list[CanaryCount]:
    """Return the results of the latest `COUNTED_ROUNDS`, counted."""
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
