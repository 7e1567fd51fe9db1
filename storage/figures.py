"""Figures about the whole installation at one moment, for metrics and statistics.

The queries read a row for each open chunk, job and webhook, and neither verdicts nor ended jobs or chunks. They exclude
canaries.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from starlight_vocabulary.words import ChunkState, Outcome, Priority
from storage.totals import Total, Totals, count_recent_images, read_totals

WAITING_STATES = (ChunkState.PENDING, ChunkState.DISPATCHED, ChunkState.RUNNING)
# The timeout of each query.
MOST_S = 10.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Chunks of one priority and state: their number, their images without a verdict, and the age of the oldest job."""

    priority: Priority
    state: ChunkState
    is_put_off: bool
    chunks: int
    images: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """Open jobs of one priority, the number of running ones, and the longest estimated time until one ends.

    `longest_left_s` extrapolates the rate since a job's start; 0 if none has a verdict yet.
    """

    priority: Priority
    pending: int
    running: int
    longest_left_s: float


@dataclass(frozen=True, slots=True)
class DueWebhooks:
    """Webhooks of ended jobs that are neither delivered nor given up: their number, failed ones, and the oldest."""

    waiting: int
    failed: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts at one moment; times in seconds.

    `unaccounted` are images of jobs with neither a verdict nor a waiting or running chunk: 0, or there is a bug.
    `finished_last_minute` are the verdicts of the last 60 seconds, without cancelled images.
    """

    totals: Totals
    queues: list[Queue]
    open_jobs: list[OpenJobs]
    webhooks: DueWebhooks
    stored_bytes: int
    stored_bytes_largest: int
    unaccounted: int
    finished_last_minute: int
    taken_at: datetime

    @property
    def submitted(self) -> int:
        """References of all jobs ever submitted."""
        return self.totals.get(Total.IMAGES_SUBMITTED)

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Verdicts ever stored by outcome, with every outcome present."""
        return {outcome: self.totals.get(Total.IMAGES_FINISHED, outcome) for outcome in Outcome}

    @property
    def waiting(self) -> dict[ChunkState, int]:
        """Images without a verdict by the state of their chunk, with every state present."""
        return {state: sum(each.images for each in self.queues if each.state == state) for state in WAITING_STATES}

    @property
    def oldest_waiting_s(self) -> float:
        """Age of the oldest job with unclaimed images, 0 if there is none."""
        return max((each.oldest_s for each in self.queues if each.state != ChunkState.RUNNING), default=0.0)


# Open chunks. They are counted by job before the jobs are joined: there may be millions of chunks.
COUNT_QUEUES = text("""
    SELECT priority, state, is_put_off, sum(chunks)::bigint AS chunks, sum(
            images - CASE WHEN NOT was_tried THEN 0 ELSE (
                -- Images of chunks that were put off have their verdicts already, some of them.
                SELECT count(*) FROM chunks AS tried JOIN verdicts ON verdicts.job_id = tried.job_id
                    AND ordinal BETWEEN first_ordinal AND first_ordinal + coalesce(images, cardinality(refs)) - 1
                WHERE tried.job_id = waiting.job_id AND tries > 0
                    AND tried.priority = waiting.priority AND tried.state = waiting.state
                    AND (tried.state = 'pending' AND coalesce(not_before > now(), false)) = is_put_off
            ) END
        ) AS images,
        coalesce(extract(epoch FROM now() - min(open_jobs.created_at)), 0) AS oldest_s
    FROM (
        -- Two halves, each the condition of an index: chunks that have ended are never looked at.
        -- References need not be unpacked where it is known how many they are.
        SELECT job_id, priority, state, coalesce(not_before > now(), false) AS is_put_off, count(*) AS chunks,
            sum(coalesce(images, cardinality(refs))) AS images, bool_or(tries > 0) AS was_tried
        FROM chunks WHERE state = 'pending' GROUP BY job_id, priority, state, is_put_off
        UNION ALL
        SELECT job_id, priority, state, false, count(*), sum(coalesce(images, cardinality(refs))), bool_or(tries > 0)
        FROM chunks WHERE state IN ('dispatched', 'running') GROUP BY job_id, priority, state
    ) AS waiting LEFT JOIN (
        SELECT id, created_at, canary FROM jobs WHERE state IN ('pending', 'running')
    ) AS open_jobs ON open_jobs.id = waiting.job_id
    WHERE open_jobs.canary IS NOT TRUE
    GROUP BY priority, state, is_put_off
""")

# Open jobs.
COUNT_OPEN_JOBS = text("""
    SELECT priority, count(*) FILTER (WHERE state = 'pending') AS pending,
        count(*) FILTER (WHERE state = 'running') AS running,
        coalesce(max(
            extract(epoch FROM now() - started_at) * (total - clean - stego - error)
                / nullif(clean + stego + error, 0)
        ), 0) AS longest_left_s,
        sum(total - clean - stego - error) AS unfinished
    FROM jobs WHERE state IN ('pending', 'running') AND NOT canary GROUP BY priority
""")

# Images of ended jobs without a verdict.
COUNT_LEFT_OUT = text("""
    SELECT coalesce(sum(total - clean - stego - error), 0) FROM jobs
    WHERE state IN ('done', 'cancelled') AND clean + stego + error <> total AND NOT canary
""")

# Webhooks of ended jobs.
COUNT_WEBHOOKS = text("""
    SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS failed,
        coalesce(extract(epoch FROM now() - min(finished_at)), 0) AS oldest_s
    FROM webhooks JOIN jobs ON jobs.id = job_id
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND clean + stego + error = total AND finished_at IS NOT NULL
""")

# Stored bytes, in total and of the submitter with the most.
COUNT_STORED_BYTES = text("""
    SELECT coalesce(sum(stored_bytes), 0) AS stored, coalesce(max(stored_bytes), 0) AS largest, now() AS taken_at
    FROM submitters
""")

LIMIT_TIME = text(f"SELECT set_config('statement_timeout', '{MOST_S * 1000:.0f}', true)")


def take_figures(engine: Engine) -> Figures:
    """Return the figures of one snapshot of the database."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(LIMIT_TIME)
        totals = read_totals(connection)
        queues = [
            Queue(
                Priority.read(row.priority), ChunkState.read(row.state), row.is_put_off, row.chunks, int(row.images),
                float(row.oldest_s),
            )
            for row in connection.execute(COUNT_QUEUES)
        ]  # fmt: skip
        jobs = connection.execute(COUNT_OPEN_JOBS).all()
        left_out = connection.execute(COUNT_LEFT_OUT).scalar_one()
        webhooks = connection.execute(COUNT_WEBHOOKS).one()
        stored = connection.execute(COUNT_STORED_BYTES).one()
        recent = count_recent_images(connection)
    unfinished = left_out + sum(row.unfinished for row in jobs)
    return Figures(
        totals=totals,
        queues=queues,
        open_jobs=[
            OpenJobs(Priority.read(row.priority), row.pending, row.running, float(row.longest_left_s)) for row in jobs
        ],
        webhooks=DueWebhooks(webhooks.waiting, webhooks.failed, float(webhooks.oldest_s)),
        stored_bytes=int(stored.stored),
        stored_bytes_largest=int(stored.largest),
        unaccounted=int(unfinished) - sum(each.images for each in queues),
        finished_last_minute=recent,
        taken_at=stored.taken_at,
    )
