"""Events of jobs for any number of followers: one connection listens, and rows are read once for all that follow a job.

A follower stores only its place; nothing is queued in memory for slow clients.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import TypeAdapter
from sqlalchemy import Engine

from producer.api.first_verdicts import FirstVerdicts
from producer.api.job_snapshots import JobSnapshot
from producer.api.known_keys import KnownKeys
from producer.api.notifications import NotificationListener
from producer.api.reader import Reader
from producer.api.reports import report_job
from producer.api.server_sent_events import format_event
from starlight_vocabulary.answers import JobReport
from storage.jobs import count_finished
from storage.verdicts import Place

# A stream sends a keep-alive comment after this time without an event.
HEARTBEAT_S = 15.0
# The id of the last event of a job.
DONE = "done"

# The same JSON as in the routes of jobs.
JOB_REPORT = TypeAdapter(JobReport)


class FollowedJob:
    """A job's current snapshot, and the number of its followers."""

    def __init__(self, snapshot: JobSnapshot) -> None:
        self.snapshot = snapshot
        self.followers = 0


class JobEvents:
    """The jobs that are followed in this process, and the thread that listens for all of them.

    To be used as an async context manager.
    """

    def __init__(self, engine: Engine, keys: KnownKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._reader = Reader(engine)
        self.first_verdicts = FirstVerdicts(self._reader)
        self._followed: dict[uuid.UUID, FollowedJob] = {}
        self._polling: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> "JobEvents":
        self._listener = NotificationListener(
            self._engine, self._keys, asyncio.get_running_loop(), self._take_notifications
        )
        self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await to_thread.run_sync(self._listener.stop)

    def count_followers(self) -> int:
        """Return the number of open streams and of requests that wait for the end of a job."""
        return sum(job.followers for job in tuple(self._followed.values()))

    def close(self) -> None:
        """End all streams; their clients reconnect and continue after the last event that they received."""
        self._closed.set()
        for job_id in self._followed:
            self._renew_snapshot(job_id)

    async def wait_until_closed(self, timeout_s: float) -> bool:
        """Return True when streams are to end, or False after the timeout."""
        try:
            await asyncio.wait_for(self._closed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def stream(self, job_id: uuid.UUID, after: Place) -> AsyncIterator[bytes]:
        """Yield the events of a job: verdicts after this place as they land, changes of its progress, and its end."""
        with self._follow(job_id) as followed:
            sent = None
            while not self._closed.is_set():
                snapshot = followed.snapshot
                # The job is read before the verdicts: if it has ended by then, this reads all of its verdicts.
                job = await snapshot.get_job()
                while page := await snapshot.get_page(after):
                    after = page.end
                    yield page.events
                if job is None:
                    return
                if job != sent:
                    sent = job
                    yield format_event("progress", JOB_REPORT.dump_json(report_job(job)).decode())
                if job.ended:
                    yield format_event("done", JOB_REPORT.dump_json(report_job(job)).decode(), DONE)
                    return
                while not await snapshot.wait_until_outdated(HEARTBEAT_S):
                    yield KEEPALIVE_COMMENT

    async def wait_for_end(self, job_id: uuid.UUID, timeout_s: float) -> bool:
        """Return whether the job has ended or ends within the timeout."""
        with self._follow(job_id) as followed:
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        snapshot = followed.snapshot
                        job = await snapshot.get_job()
                        if job is None or job.ended:
                            return True
                        await snapshot.outdated.wait()
            except TimeoutError:
                return False

    @contextmanager
    def _follow(self, job_id: uuid.UUID) -> Iterator[FollowedJob]:
        followed = self._followed.setdefault(job_id, FollowedJob(JobSnapshot(self._reader, job_id)))
        followed.followers += 1
        try:
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers:
                del self._followed[job_id]

    def _take_notifications(self, payloads: set[str]) -> None:
        heard = [uuid.UUID(payload) for payload in payloads]
        self.first_verdicts.look_for(heard)
        for job_id in heard:
            self._renew_snapshot(job_id)
        # An empty set: there were no notifications for a while, or some may have been missed.
        if not payloads and (self._polling is None or self._polling.done()):
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        job_ids = list(self._followed)
        if not job_ids:
            return
        counts = await self._reader.read(lambda engine: count_finished(engine, job_ids))
        for job_id in job_ids:
            followed = self._followed.get(job_id)
            if followed and counts.get(job_id) != followed.snapshot.finished:
                self._renew_snapshot(job_id)

    def _renew_snapshot(self, job_id: uuid.UUID) -> None:
        if followed := self._followed.get(job_id):
            followed.snapshot.outdated.set()
            followed.snapshot = JobSnapshot(self._reader, job_id)


async def get_job_events(request: Request) -> JobEvents:
    """Return the job events of this process."""
    job_events: JobEvents = request.app.state.job_events
    return job_events


SharedJobEvents = Annotated[JobEvents, Depends(get_job_events)]
