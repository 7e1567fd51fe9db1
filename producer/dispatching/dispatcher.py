"""The dispatcher: keeps a bounded window of chunk ids in the broker and recovers lost chunks and messages.

The backlog stays in PostgreSQL. Several dispatchers may run: PostgreSQL serialises the picking of chunks, and
everything else is idempotent. Messages may be lost or duplicated at any time: claims make duplicates harmless, and a
dispatched chunk without a message in the broker is published again.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence

import redis
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from storage.broker import name_queue
from storage.database import may_succeed_later
from storage.dispatch import (
    DispatchedChunk,
    count_expected_messages,
    group_by_message,
    list_waiting_priorities,
    pick_chunks,
    recover_lost_chunk,
    redate_unclaimed,
)
from storage.message_counts import MessageCounter
from storage.notifications import FINISHED, SUBMITTED, listen
from storage.outages import POSTGRESQL, Backoff, Server
from storage.settings import Settings
from storage.traces import trace
from storage.workers import list_live_workers
from worker.app import app
from worker.task_description import describe_task
from worker.task_shape import SCAN_CHUNK, SCAN_LONE_CHUNKS

# A chunk that nobody has claimed for so many leases is published again, even if the broker seems to have its message.
STALE_LEASES = 10
# The payload of notifications about submissions.
SUBMISSION = ""
# Limits how often lost chunks are looked for per interval, however many notifications arrive.
LOOKS_PER_INTERVAL = 5

log = logging.getLogger(__name__)

Publish = Callable[[Sequence[DispatchedChunk]], None]


def publish(chunks: Sequence[DispatchedChunk]) -> None:
    """Publish the chunks of one message as a Celery task; `argsrepr` is what Flower shows of it."""
    first = chunks[0]
    app.send_task(
        SCAN_CHUNK if first.message_id is None else SCAN_LONE_CHUNKS,
        args=[str(chunk.chunk_id) for chunk in chunks],
        argsrepr=describe_task(first.chunk_id, first.job_id, first.images, len(chunks) - 1),
        queue=name_queue(first.priority),
        retry=False,
    )


class Dispatcher:
    """One dispatcher; `do_round` does everything that is due, `run` repeats it for ever."""

    def __init__(self, engine: Engine, counter: MessageCounter, settings: Settings, publish: Publish = publish) -> None:
        self._engine = engine
        self._counter = counter
        self._settings = settings
        self._publish = publish
        self._claiming = 1
        # Whether chunks wait because the window is full.
        self._is_behind = True

    def run(self) -> None:
        """Fill the window when something is submitted, or when something is finished while chunks wait.

        A full round is done at every interval. Waits while a server is not available.
        """
        looked_at = -math.inf
        with Backoff(POSTGRESQL) as database, Backoff(Server(self._counter.name)) as broker:
            for heard in listen(self._engine, (SUBMITTED, FINISHED), self._settings.dispatch_interval_s):
                try:
                    has_work = self._is_behind or not heard or SUBMISSION in heard
                    pause_s = self._settings.dispatch_interval_s / (LOOKS_PER_INTERVAL if has_work else 1)
                    if time.monotonic() - looked_at >= pause_s:
                        self.do_round()
                        looked_at = time.monotonic()
                    elif has_work:
                        self._fill_window()
                except (redis.RedisError, BrokerError, ConnectionError) as error:
                    broker.wait_after(error)
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    database.wait_after(error.orig or error)
                else:
                    database.note_success()
                    broker.note_success()

    def do_round(self) -> None:
        """Recover lost chunks, publish chunks without a message again, and fill the window."""
        while lost := recover_lost_chunk(self._engine, self._settings.max_losses, self._settings.lease_s):
            context = {"job": lost.job_id, "chunk": lost.chunk_id, "losses": lost.losses}
            log.warning("the lease of a chunk ran out; it is queued again, or split", extra=context)
        self._republish()
        live = list_live_workers(self._engine, self._settings.lease_s)
        self._claiming = max(1, sum(not each.draining for each in live))
        self._fill_window()

    def _fill_window(self) -> None:
        window = self._settings.dispatch_window * self._claiming
        for priority in list_waiting_priorities(self._engine):
            for chunks in group_by_message(pick_chunks(self._engine, priority, window, self._claiming)):
                self._publish_traced(chunks)
        self._is_behind = bool(list_waiting_priorities(self._engine))

    def _republish(self) -> None:
        # Messages are counted before chunks: a chunk that is picked in between can then only count as missing.
        messages = sum(self._counter.count_messages().values())
        missing = messages < count_expected_messages(self._engine, counts_delivered=self._counter.counts_delivered)
        age = self._settings.republish_after_s if missing else STALE_LEASES * self._settings.lease_s
        for chunk in redate_unclaimed(self._engine, age):
            context = {"job": chunk.job_id, "chunk": chunk.chunk_id}
            log.warning("the message of a dispatched chunk seems lost; publishing it again", extra=context)
            self._publish_traced([chunk])

    def _publish_traced(self, chunks: Sequence[DispatchedChunk]) -> None:
        first = chunks[0]
        with trace(
            "dispatch",
            parent=first.traceparent,
            kind="producer",
            job=first.job_id,
            chunk=first.chunk_id,
            images=sum(chunk.images for chunk in chunks),
            priority=first.priority,
        ):
            self._publish(chunks)
