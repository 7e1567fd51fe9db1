"""Delivering webhooks: signed as in the Standard Webhooks specification, at least once, with growing pauses.

The message is `{"type": "job.finished", "timestamp": …, "data": JOB}`. Its id is derived from the job's and the same in
every attempt, so that receivers can recognise repetitions. The status 2xx means delivered, 410 gives up, and everything
else is retried.

A webhook of the kind `stargate` has one message per image of a block, signed in `X-Starlight-Signature`; a retry
continues after the last delivered one.
"""

import hashlib
import hmac
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook

from producer.stargate_results import Callbacks
from starlight_vocabulary.job import Job
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import WebhookKind
from storage.background import BackgroundThread
from storage.database import may_succeed_later
from storage.jobs import get_job
from storage.outages import POSTGRESQL, Backoff
from storage.posting import UnansweredError, post
from storage.public_network import open_public_pool
from storage.settings import Settings
from storage.traces import read_traceparent, trace
from storage.verdicts import list_between
from storage.webhooks import Delivery, claim_webhook, record_delivered, record_failed, record_sent

LOOK_EVERY_S = 1.0
TIMEOUT_S = 15.0
# Concurrent deliveries: at most one per receiver, and half of them per submitter, so that slow receivers cannot block
# the others: not those of other submitters, and those of its own only if there are many. Threads mostly wait.
AT_ONCE = 16
# How long a claim holds: longer than an attempt can take, and the delay if a deliverer dies.
HOLD_S = 60.0
# Time for the images of one job before others have their turn; with the last request, less than `HOLD_S`.
SHARE_S = 30.0
PAGE = 100
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0

log = logging.getLogger(__name__)


class Deliverer(BackgroundThread):
    """Delivers due webhooks, several concurrently, in a thread of the dispatcher."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Without a secret in the settings nothing can be signed, and nothing is delivered."""
        super().__init__("webhooks")
        self._engine = engine
        self._secret = settings.webhook_secret
        self._max_attempts = settings.webhook_attempts
        self._blocks_root = settings.blocks_root
        self._pool = open_public_pool(settings.fetch_allowed_networks, connections=AT_ONCE)
        self._delivering: dict[Future[None], Delivery] = {}

    def run(self) -> None:
        """Deliver until stopped; wait while the database is not available."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as threads, Backoff(POSTGRESQL) as database:
            while not self.stopping.is_set():
                try:
                    self._forget_ended()
                    delivery = self._claim_next()
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    self.stopping.wait(database.note_failure(error.orig or error))
                    continue
                database.note_success()
                if delivery is not None:
                    self._delivering[threads.submit(self._deliver, delivery)] = delivery
                elif self._delivering:
                    wait(self._delivering, LOOK_EVERY_S, FIRST_COMPLETED)
                else:
                    self.stopping.wait(LOOK_EVERY_S)

    def deliver_next(self) -> bool:
        """Try to deliver one due webhook; return whether there was one."""
        delivery = self._claim_next()
        if delivery is None:
            return False
        self._deliver(delivery)
        return True

    def _forget_ended(self) -> None:
        """Remove deliveries that have ended; raises what they raised."""
        for ended in [future for future in self._delivering if future.done()]:
            del self._delivering[ended]
            ended.result()

    def _claim_next(self) -> Delivery | None:
        if self._secret is None or len(self._delivering) == AT_ONCE:
            return None
        counted = Counter(delivery.submitter for delivery in self._delivering.values())
        return claim_webhook(
            self._engine,
            HOLD_S,
            [submitter for submitter, number in counted.items() if number >= AT_ONCE // 2],
            [delivery.receiver for delivery in self._delivering.values()],
        )

    def _deliver(self, delivery: Delivery) -> None:
        job = get_job(self._engine, delivery.job_id)
        if job is None:
            return
        assert self._secret is not None, "without a secret nothing is claimed"
        with trace("deliver", parent=delivery.traceparent, kind="client", job=job.id, attempt=delivery.attempt) as span:
            secret = self._secret.get_secret_value()
            if delivery.kind == WebhookKind.STARGATE:
                result = self._post_images(delivery, job, secret)
                if result is None:
                    return
                reason, is_final = result
            else:
                reason, is_final = self._post(delivery, job, secret)
            if span is not None:
                span.set_attribute("starlight.delivered", reason is None)
        if reason is None:
            record_delivered(self._engine, delivery)
            return
        log.warning("a webhook was not delivered in attempt %d: %s", delivery.attempt, reason, extra={"job": job.id})
        is_last = is_final or delivery.attempt >= self._max_attempts
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (delivery.attempt - 1))
        record_failed(self._engine, delivery, reason, None if is_last else pause_s)

    def _post(self, delivery: Delivery, job: Job, secret: str) -> tuple[str | None, bool]:
        """Return the reason if it was not delivered, else None, and whether to give up."""
        now = datetime.now(UTC)
        body = json.dumps({"type": "job.finished", "timestamp": now.isoformat(), "data": to_json(job)})
        message_id = f"job_{job.id}"
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, now, body),
        }
        return self._send(delivery.url, body.encode(), headers)

    def _post_images(self, delivery: Delivery, job: Job, secret: str) -> tuple[str | None, bool] | None:
        """Send Stargate a message for each image of a block, in order; return what `_post` returns.

        Returns None if the time was not enough for all; the rest is then due at once, for any dispatcher.
        """
        callbacks = Callbacks(self._blocks_root, job.id)
        sent, until = delivery.sent, time.monotonic() + SHARE_S
        reason, is_final = None, False
        for verdict in self._list_from(job, sent):
            if time.monotonic() >= until:
                break
            reason, is_final = self._post_image(delivery.url, callbacks.write(verdict), secret)
            if reason is not None:
                break
            sent = verdict.ordinal + 1
        goes_on = reason is None and sent < job.total
        record_sent(self._engine, delivery, sent, goes_on=goes_on)
        return None if goes_on else (reason, is_final)

    def _list_from(self, job: Job, first: int) -> Iterator[Verdict]:
        for start in range(first, job.total, PAGE):
            yield from list_between(self._engine, job.id, start, start + PAGE - 1)

    def _post_image(self, url: str, message: dict[str, Any] | None, secret: str) -> tuple[str | None, bool]:
        if message is None:
            return None, False
        body = json.dumps(message).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return self._send(url, body, {"content-type": "application/json", "x-starlight-signature": signature})

    def _send(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[str | None, bool]:
        if traceparent := read_traceparent():
            headers["traceparent"] = traceparent
        try:
            status = post(self._pool, url, body, headers, TIMEOUT_S)
        except UnansweredError as error:
            return str(error), False
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return None, False
        return f"the receiver answered {status}", status == HTTPStatus.GONE
