"""Figures about the whole installation, for the exporter."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from starlight_vocabulary.words import ChunkState, Outcome


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of images at one moment.

    `outcomes` counts all verdicts of all jobs, `waiting` the images without one by their chunk's state, both with
    every key present; `finished_last_minute` the verdicts of the last 60 seconds, cancelled images left out;
    `oldest_waiting_s` the age in seconds of the oldest job with images that nobody has claimed, 0 where there is none.
    """

    outcomes: dict[Outcome, int]
    waiting: dict[ChunkState, int]
    finished_last_minute: int
    oldest_waiting_s: float
    submitted: int
    taken_at: datetime


WAITING_STATES = (ChunkState.PENDING, ChunkState.DISPATCHED, ChunkState.RUNNING)

# The counters of all jobs.
SUM_JOBS = text("""
    SELECT coalesce(sum(total), 0) AS submitted, coalesce(sum(clean), 0) AS clean,
        coalesce(sum(stego), 0) AS stego, coalesce(sum(error), 0) AS error, now() AS taken_at FROM jobs
""")

# Images without a verdict, by the state of their chunk.
COUNT_WAITING = text("""
    SELECT waiting.state, sum(images - CASE WHEN tries = 0 THEN 0 ELSE (
            -- Images of chunks that are put off have their verdicts already, some of them.
            SELECT count(*) FROM verdicts WHERE verdicts.job_id = waiting.job_id
                AND ordinal BETWEEN first_ordinal AND first_ordinal + images - 1
        ) END) AS images,
        extract(epoch FROM now() - min(jobs.created_at)) AS oldest_s
    FROM (
        -- Two halves, each the condition of an index: chunks that have ended are never looked at.
        SELECT job_id, state, first_ordinal, tries, cardinality(refs) AS images
        FROM chunks WHERE state = 'pending'
        UNION ALL
        SELECT job_id, state, first_ordinal, tries, cardinality(refs)
        FROM chunks WHERE state IN ('dispatched', 'running')
    ) AS waiting JOIN jobs ON jobs.id = waiting.job_id GROUP BY waiting.state
""")

# Verdicts of the last minute; a cancelled image was not scanned.
COUNT_LAST_MINUTE = text("""
    SELECT count(*) FROM verdicts WHERE scanned_at > now() - interval '1 minute'
        AND error_code IS DISTINCT FROM 'cancelled'
""")


def take_figures(engine: Engine) -> Figures:
    """Return the figures of one snapshot of the database."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        totals = connection.execute(SUM_JOBS).one()
        waiting = connection.execute(COUNT_WAITING).all()
        minute = connection.execute(COUNT_LAST_MINUTE).scalar_one()
    images = {row.state: int(row.images) for row in waiting}
    return Figures(
        outcomes={outcome: int(getattr(totals, outcome)) for outcome in Outcome},
        waiting={state: images.get(state, 0) for state in WAITING_STATES},
        finished_last_minute=int(minute),
        oldest_waiting_s=max((float(row.oldest_s) for row in waiting if row.state != ChunkState.RUNNING), default=0.0),
        submitted=int(totals.submitted),
        taken_at=totals.taken_at,
    )
