"""Delivering webhooks: signed after the Standard Webhooks specification, at least once, with growing pauses.

The message is `{"type": "job.finished", "timestamp": …, "data": JOB}`; its id is the job's in every attempt, by which a
receiver knows one that comes again. 2xx delivers it; 410 gives it up; everything else is tried again.
"""

import json
import logging
import threading
from datetime import UTC, datetime
from http import HTTPStatus

import httpcore
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook

from storage.database import passes
from storage.jobs import JobStatus, get_job, job_record
from storage.outages import POSTGRESQL, Patience
from storage.public_network import FAILURES, public_pool, within
from storage.settings import Settings
from storage.webhooks import Delivery, claim_webhook, webhook_delivered, webhook_failed

LOOK_EVERY_S = 1.0
TIMEOUT_S = 15.0
# Longer than an attempt can take: a deliverer that dies costs one such pause.
HOLD_S = 60.0
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0

log = logging.getLogger(__name__)


class Deliverer:
    """Delivers what is due, one after the other; `run` does so for ever, beside the dispatcher."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Take the secret from the settings; without one, nothing can be signed and nothing is delivered."""
        self._engine = engine
        self._secret = settings.webhook_secret
        self._max_attempts = settings.webhook_attempts
        self._pool = public_pool(settings.fetch_allowed_networks, connections=1)

    def start(self) -> None:
        """Run in a thread of its own, which ends with the process."""
        threading.Thread(target=self.run, name="webhooks", daemon=True).start()

    def run(self) -> None:
        """Deliver for ever, waiting out a lost database."""
        pause = threading.Event()
        with Patience(POSTGRESQL) as database:
            while True:
                try:
                    delivered = self.deliver_next()
                except DBAPIError as error:
                    if not passes(error):
                        raise
                    database.wait(error.orig or error)
                    continue
                database.over()
                if not delivered:
                    pause.wait(LOOK_EVERY_S)

    def deliver_next(self) -> bool:
        """Try one webhook that is due; return whether there was one."""
        if self._secret is None:
            return False
        delivery = claim_webhook(self._engine, HOLD_S)
        if delivery is None:
            return False
        job = get_job(self._engine, delivery.job_id)
        if job is None:
            return True
        reason, is_final = self._post(delivery, job, self._secret.get_secret_value())
        if reason is None:
            webhook_delivered(self._engine, delivery)
            return True
        log.warning("the webhook of job %s was not delivered in attempt %d: %s", job.id, delivery.attempt, reason)
        is_last = is_final or delivery.attempt >= self._max_attempts
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (delivery.attempt - 1))
        webhook_failed(self._engine, delivery, reason, None if is_last else pause_s)
        return True

    def _post(self, delivery: Delivery, job: JobStatus, secret: str) -> tuple[str | None, bool]:
        """Return why it was not taken, None where it was, and whether the receiver wants no more."""
        now = datetime.now(UTC)
        body = json.dumps({"type": "job.finished", "timestamp": now.isoformat(), "data": job_record(job)})
        message_id = f"job_{job.id}"
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, now, body),
        }
        try:
            # Streamed and left unread: how much a receiver answers is not our concern.
            with self._pool.stream(
                "POST", delivery.url, content=body.encode(), headers=list(headers.items()), extensions=within(TIMEOUT_S)
            ) as answer:
                status = answer.status
        except (*FAILURES, httpcore.UnsupportedProtocol, ValueError) as error:
            return f"{type(error).__name__}: {error}", False
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return None, False
        return f"the receiver answered {status}", status == HTTPStatus.GONE
