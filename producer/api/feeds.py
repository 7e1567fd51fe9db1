"""Events of jobs for any number of streams: one connection listens, and rows are read once for all streams of a job.

A stream stores only its place; nothing is queued in memory for slow readers.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import TypeAdapter
from sqlalchemy import Engine

from producer.api.first_verdicts import FirstVerdicts
from producer.api.known_keys import KnownKeys
from producer.api.reader import Reader
from producer.api.reports import report_job
from starlight_vocabulary.answers import JobReport
from starlight_vocabulary.job import Job
from starlight_vocabulary.records import to_json
from storage.background import BackgroundThread
from storage.database import FINISHED, KEYS, REVOKED, Wakeup, listen
from storage.jobs import count_finished, get_job
from storage.verdicts import Place, list_landed

# The listener polls after this time without a notification.
POLL_S = 1.0
# A stream sends a keep-alive comment after this time without an event.
HEARTBEAT_S = 15.0
# Verdicts in a page, and pages of a job that are cached for its other streams.
PAGE = 100
PAGES_KEPT = 4

# The same JSON as in the routes of jobs.
JOB_REPORT = TypeAdapter(JobReport)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of verdicts of one job as events, and the place of the last one."""

    events: bytes
    end: Place


class Moment:
    """A snapshot of a job, valid until `over` is set. Everything is read lazily and once, for all streams."""

    def __init__(self, reader: "Reader", job_id: uuid.UUID) -> None:
        self.over = asyncio.Event()
        self.finished: int | None = None
        self._reader = reader
        self._job_id = job_id
        self._job: asyncio.Task[Job | None] | None = None
        self._pages: dict[Place, asyncio.Task[Page | None]] = {}

    async def get_job(self) -> Job | None:
        """Return the job, or None if it was deleted."""
        if self._job is None:
            self._job = self._reader.start(lambda engine: get_job(engine, self._job_id))
        job = await asyncio.shield(self._job)
        self.finished = job.finished if job else None
        return job

    async def get_page(self, after: Place) -> Page | None:
        """Return the verdicts that landed next after this place, or None if there are none yet."""
        if after not in self._pages:
            while len(self._pages) >= PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
            self._pages[after] = self._reader.start(lambda engine: read_page(engine, self._job_id, after))
        return await asyncio.shield(self._pages[after])


class Feed:
    """A job that streams follow: its current moment, and the number of streams."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.streams = 0


class Listener(BackgroundThread):
    """Passes the ids of jobs with new verdicts to the event loop, and an empty set after a while without any.

    After a while without notifications, or when a key was revoked, it also clears the known keys.
    """

    def __init__(
        self,
        engine: Engine,
        keys: KnownKeys,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[set[str]], object],
    ) -> None:
        super().__init__("job events")
        self._engine = engine
        self._keys = keys
        self._loop = loop
        self._take = take
        self._wakeup = Wakeup()

    def run(self) -> None:
        """Listen until stopped."""
        for heard in listen(self._engine, (FINISHED, KEYS), POLL_S, self._wakeup):
            # First, so that the event loop admits no revoked key.
            if not heard or REVOKED in heard:
                self._keys.forget_all(is_listening=True)
            if heard != {REVOKED}:
                self._loop.call_soon_threadsafe(self._take, heard - {REVOKED})
        self._keys.forget_all(is_listening=False)

    def wake(self) -> None:
        """Make `run` return."""
        self._wakeup.send()


class Hub:
    """The feeds of one process, and the thread that listens for all of them; to be used as an async context manager."""

    def __init__(self, engine: Engine, keys: KnownKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._reader = Reader(engine)
        self.first_verdicts = FirstVerdicts(self._reader)
        self._feeds: dict[uuid.UUID, Feed] = {}
        self._polling: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> "Hub":
        self._listener = Listener(self._engine, self._keys, asyncio.get_running_loop(), self._take_notifications)
        self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await to_thread.run_sync(self._listener.stop)

    def count_streams(self) -> int:
        """Return the number of open streams and of requests that wait for the end of a job."""
        return sum(feed.streams for feed in tuple(self._feeds.values()))

    def close(self) -> None:
        """End all streams; their clients reconnect and continue after the last event that they received."""
        self._closed.set()
        for job_id in self._feeds:
            self._end_moment(job_id)

    async def wait_until_closed(self, timeout_s: float) -> bool:
        """Return True when the hub is closed, or False after the timeout."""
        try:
            await asyncio.wait_for(self._closed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def stream_events(self, job_id: uuid.UUID, after: Place) -> AsyncIterator[bytes]:
        """Yield the events of a job: verdicts after this place as they land, changes of its progress, and its end."""
        with self._follow(job_id) as feed:
            sent = None
            while not self._closed.is_set():
                moment = feed.moment
                # The job is read before the verdicts: if it has ended by then, this reads all of its verdicts.
                job = await moment.get_job()
                while page := await moment.get_page(after):
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
                while not await wait_until_over(moment, HEARTBEAT_S):
                    yield KEEPALIVE_COMMENT

    async def wait_for_end(self, job_id: uuid.UUID, timeout_s: float) -> bool:
        """Return whether the job has ended or ends within the timeout."""
        with self._follow(job_id) as feed:
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        moment = feed.moment
                        job = await moment.get_job()
                        if job is None or job.ended:
                            return True
                        await moment.over.wait()
            except TimeoutError:
                return False

    @contextmanager
    def _follow(self, job_id: uuid.UUID) -> Iterator[Feed]:
        feed = self._feeds.setdefault(job_id, Feed(Moment(self._reader, job_id)))
        feed.streams += 1
        try:
            yield feed
        finally:
            feed.streams -= 1
            if not feed.streams:
                del self._feeds[job_id]

    def _take_notifications(self, payloads: set[str]) -> None:
        heard = [uuid.UUID(payload) for payload in payloads]
        self.first_verdicts.look_for(heard)
        for job_id in heard:
            self._end_moment(job_id)
        # An empty set: there were no notifications for a while, or some may have been missed.
        if not payloads and (self._polling is None or self._polling.done()):
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        followed = list(self._feeds)
        if not followed:
            return
        counts = await self._reader.read(lambda engine: count_finished(engine, followed))
        for job_id in followed:
            feed = self._feeds.get(job_id)
            if feed and counts.get(job_id) != feed.moment.finished:
                self._end_moment(job_id)

    def _end_moment(self, job_id: uuid.UUID) -> None:
        if feed := self._feeds.get(job_id):
            feed.moment.over.set()
            feed.moment = Moment(self._reader, job_id)


# The id of the last event of a job.
DONE = "done"


def format_event(name: str, data: str, event_id: str | None = None) -> bytes:
    """Return one server-sent event."""
    return format_sse_event(event=name, data_str=data, id=event_id)


def read_page(engine: Engine, job_id: uuid.UUID, after: Place) -> Page | None:
    """Return the next verdicts of a job as events, whose ids are their places; None if there are none."""
    landed = list_landed(engine, job_id, after, PAGE)
    if not landed:
        return None
    events = (
        format_event("verdict", json.dumps(to_json(verdict)), f"{place.landed}-{place.ordinal}")
        for place, verdict in landed
    )
    return Page(b"".join(events), landed[-1][0])


async def wait_until_over(moment: Moment, timeout_s: float) -> bool:
    """Return True when the moment is over, or False after the timeout."""
    try:
        await asyncio.wait_for(moment.over.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


async def get_hub(request: Request) -> Hub:
    """Return the hub of this process."""
    hub: Hub = request.app.state.feeds
    return hub


Feeds = Annotated[Hub, Depends(get_hub)]
