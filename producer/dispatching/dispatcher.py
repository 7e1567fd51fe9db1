"""The dispatcher: keeps a bounded window of chunk ids in Redis and brings back what was lost.

The backlog waits in PostgreSQL. Any number of dispatchers may run: picking is serialised there, everything else is
harmless when done twice. A message may be lost or doubled at any time; the claim in PostgreSQL makes doubles harmless,
and a chunk that is dispatched without a message in Redis is published again.
"""

import logging
from collections.abc import Callable

import redis
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from starlight_vocabulary.words import Priority
from storage.broker import count_messages, name_queue
from storage.database import FINISHED, SUBMITTED, listen, may_succeed_later
from storage.dispatch import DispatchedChunk, count_in_flight, pick_chunks, recover_lost_chunk, redate_unclaimed
from storage.outages import POSTGRESQL, REDIS, Patience
from storage.settings import Settings
from storage.traces import trace
from storage.workers import list_live_workers
from worker.app import SCAN_CHUNK, app
from worker.task_description import describe_task

# After so many leases a claimed-by-nobody chunk is published again even where Redis seems to hold its message.
STALE_LEASES = 10

log = logging.getLogger(__name__)

Publish = Callable[[DispatchedChunk], None]


def publish(chunk: DispatchedChunk) -> None:
    """Send the chunk's id to the workers, as a Celery task; what Flower shows of it says more."""
    app.send_task(
        SCAN_CHUNK,
        args=[str(chunk.chunk_id)],
        argsrepr=describe_task(chunk.chunk_id, chunk.job_id, chunk.images),
        queue=name_queue(chunk.priority),
        retry=False,
    )


class Dispatcher:
    """One dispatcher; `do_round` does all there is to do now, `run` does rounds for ever."""

    def __init__(self, engine: Engine, broker: "redis.Redis", settings: Settings, publish: Publish = publish) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._publish = publish

    def run(self) -> None:
        """Do a round whenever something is submitted or finished, and at every interval, waiting out lost servers."""
        with Patience(POSTGRESQL) as database, Patience(REDIS) as broker:
            for _ in listen(self._engine, (SUBMITTED, FINISHED), self._settings.dispatch_interval_s):
                try:
                    self.do_round()
                except (redis.RedisError, BrokerError) as error:
                    broker.wait_after(error)
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    database.wait_after(error.orig or error)
                else:
                    database.note_success()
                    broker.note_success()

    def do_round(self) -> None:
        """Recover lost chunks, publish again what has no message, and fill the window."""
        while lost := recover_lost_chunk(self._engine, self._settings.max_losses, self._settings.lease_s):
            told = {"job": lost.job_id, "chunk": lost.chunk_id, "losses": lost.losses}
            log.warning("the lease of a chunk ran out; it goes back to the queue, or is split", extra=told)
        self._republish()
        claiming = sum(not each.draining for each in list_live_workers(self._engine, self._settings.lease_s))
        window = self._settings.dispatch_window * max(1, claiming)
        for priority in Priority:
            for chunk in pick_chunks(self._engine, priority, window):
                self._publish_traced(chunk)

    def _republish(self) -> None:
        # Messages first: a chunk that is picked meanwhile then counts as missing, not as there.
        messages = sum(count_messages(self._broker).values())
        missing = messages < count_in_flight(self._engine)
        age = self._settings.republish_after_s if missing else STALE_LEASES * self._settings.lease_s
        for chunk in redate_unclaimed(self._engine, age):
            told = {"job": chunk.job_id, "chunk": chunk.chunk_id}
            log.warning("a chunk was dispatched, but its message seems lost; publishing it again", extra=told)
            self._publish_traced(chunk)

    def _publish_traced(self, chunk: DispatchedChunk) -> None:
        with trace(
            "dispatch",
            parent=chunk.traceparent,
            kind="producer",
            job=chunk.job_id,
            chunk=chunk.chunk_id,
            images=chunk.images,
            priority=chunk.priority,
        ):
            self._publish(chunk)
