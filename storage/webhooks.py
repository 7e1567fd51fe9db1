"""The outbox of webhooks: one row per job with a webhook, due from the job's end until delivered or given up.

The row is stored with the job, so a webhook cannot be lost when the job ends. All times are PostgreSQL's.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from starlight_vocabulary.operations import Action
from storage.database import connect_to_read
from storage.operations import OperationError, record_operation
from storage.totals import Total, WebhookResult, count_one, raise_totals


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery attempt: its holder has the webhook exclusively until it is due again.

    `traceparent` is the trace of the job's submission, None if it was not traced. In Stargate's form, images with
    ordinals below `sent` were delivered.
    """

    job_id: uuid.UUID
    url: str
    attempt: int
    submitter: str
    traceparent: str | None
    kind: str
    sent: int

    @property
    def receiver(self) -> str:
        """Host and port as in the URL."""
        return self.url.partition("://")[2].partition("/")[0].lower()


@dataclass(frozen=True, slots=True)
class WebhookState:
    """The state of a job's webhook (times in UTC)."""

    url: str
    attempts: int
    next_attempt_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None

    @property
    def summary(self) -> str:
        """The state in words."""
        tries = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        if self.delivered_at is not None:
            return f"delivered after {tries}"
        state = "given up" if self.given_up_at is not None else "not delivered yet"
        return f"{state}, {tries}" + (f": {self.last_error}" if self.last_error else "")


# The webhook of an ended job that has been due longest.
CLAIM_WEBHOOK = text("""
    UPDATE webhooks SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => :hold_s)
    FROM (
        SELECT job_id, submitter FROM webhooks JOIN jobs ON jobs.id = job_id
        WHERE delivered_at IS NULL AND given_up_at IS NULL AND next_attempt_at <= now()
            AND clean + stego + error = total AND finished_at IS NOT NULL
            AND submitter <> ALL(:busy_submitters) AND lower(split_part(url, '/', 3)) <> ALL(:busy_receivers)
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE OF webhooks SKIP LOCKED
    ) AS due
    WHERE webhooks.job_id = due.job_id
    RETURNING webhooks.job_id, url, attempts, submitter,
        (SELECT traceparent FROM chunks WHERE chunks.job_id = webhooks.job_id ORDER BY first_ordinal LIMIT 1),
        kind, sent
""")


def claim_webhook(
    engine: Engine, hold_s: float, busy_submitters: Sequence[str] = (), busy_receivers: Sequence[str] = ()
) -> Delivery | None:
    """Take a due webhook, or return None; unless settled within `hold_s` seconds, it is due again then.

    Skips those of busy submitters, and for busy receivers.
    """
    busy = {"busy_submitters": list(busy_submitters), "busy_receivers": list(busy_receivers)}
    with engine.begin() as connection:
        row = connection.execute(CLAIM_WEBHOOK, {"hold_s": hold_s, **busy}).one_or_none()
    return Delivery(*row) if row else None


# Stores the number of delivered images; if more follow, it is due again at once, without earlier failures.
RECORD_SENT = text("""
    UPDATE webhooks SET sent = :sent, attempts = CASE WHEN :goes_on THEN 0 ELSE attempts END,
        next_attempt_at = CASE WHEN :goes_on THEN now() ELSE next_attempt_at END
    WHERE job_id = :id AND attempts = :attempt AND delivered_at IS NULL
""")


def record_sent(engine: Engine, delivery: Delivery, sent: int, *, goes_on: bool) -> None:
    """Record that images with ordinals below `sent` were delivered, unless another attempt was made."""
    with engine.begin() as connection:
        connection.execute(
            RECORD_SENT, {"id": delivery.job_id, "attempt": delivery.attempt, "sent": sent, "goes_on": goes_on}
        )


# Marks it as delivered.
RECORD_DELIVERED = text("UPDATE webhooks SET delivered_at = now(), last_error = NULL WHERE job_id = :id")


def record_delivered(engine: Engine, delivery: Delivery) -> None:
    """Record that the webhook was delivered."""
    with engine.begin() as connection:
        connection.execute(RECORD_DELIVERED, {"id": delivery.job_id})
        raise_totals(connection, count_one(Total.WEBHOOK_ATTEMPTS, WebhookResult.DELIVERED))


# Stores why an attempt failed, unless another one was made meanwhile.
RECORD_FAILED = text("""
    UPDATE webhooks SET last_error = :reason,
        next_attempt_at = now() + make_interval(secs => coalesce(:pause_s, 0)),
        given_up_at = CASE WHEN CAST(:pause_s AS double precision) IS NULL THEN now() END
    WHERE job_id = :id AND attempts = :attempt AND delivered_at IS NULL
""")


def record_failed(engine: Engine, delivery: Delivery, reason: str, pause_s: float | None) -> None:
    """Record why delivery failed; it is due again after the pause, or given up if there is none."""
    with engine.begin() as connection:
        connection.execute(
            RECORD_FAILED,
            {"id": delivery.job_id, "attempt": delivery.attempt, "reason": reason, "pause_s": pause_s},
        )
        result = WebhookResult.GIVEN_UP if pause_s is None else WebhookResult.FAILED
        raise_totals(connection, count_one(Total.WEBHOOK_ATTEMPTS, result))


# A job's webhook.
GET_WEBHOOK = text("""
    SELECT url, attempts, next_attempt_at, delivered_at, given_up_at, last_error
    FROM webhooks WHERE job_id = :id
""")


def get_webhook(engine: Engine, job_id: uuid.UUID) -> WebhookState | None:
    """Return the state of the job's webhook, or None if it has none."""
    with connect_to_read(engine) as connection:
        row = connection.execute(
            GET_WEBHOOK,
            {"id": job_id},
        ).one_or_none()
    return WebhookState(*row) if row else None


@dataclass(frozen=True, slots=True)
class ListedWebhook:
    """A job's webhook as operators see it."""

    job_id: uuid.UUID
    submitter: str
    state: WebhookState


# Webhooks of the newest jobs, and those that failed and are still retried.
LIST_WEBHOOKS = text("""
    SELECT job_id, submitter, url, attempts, next_attempt_at, delivered_at, given_up_at, last_error
    FROM webhooks JOIN jobs ON jobs.id = job_id
    WHERE job_id = ANY(ARRAY(
        (SELECT job_id FROM webhooks ORDER BY job_id DESC LIMIT :limit)
        UNION
        (SELECT job_id FROM webhooks WHERE delivered_at IS NULL AND given_up_at IS NULL AND attempts > 0
            ORDER BY next_attempt_at LIMIT :limit)
    ))
    ORDER BY job_id DESC
""")


def list_webhooks(engine: Engine, limit: int) -> list[ListedWebhook]:
    """Return the webhooks of the newest jobs, and so many that failed and are still retried, newest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_WEBHOOKS, {"limit": limit})
        return [ListedWebhook(row.job_id, row.submitter, WebhookState(*row[2:])) for row in rows]


# Makes a webhook due again, as if it had never been tried.
REDELIVER = text("""
    UPDATE webhooks SET attempts = 0, sent = 0, next_attempt_at = now(), delivered_at = NULL, given_up_at = NULL
    WHERE job_id = :id RETURNING job_id
""")


def redeliver(engine: Engine, job_id: uuid.UUID, done_by: str) -> None:
    """Deliver a webhook again, even one that was given up; raises OperationError if the job has none."""
    with engine.begin() as connection:
        if connection.execute(REDELIVER, {"id": job_id}).one_or_none() is None:
            raise OperationError(f"job {job_id} has no webhook, or does not exist")
        record_operation(connection, done_by, Action.REDELIVER, f"webhook of job {job_id}")
