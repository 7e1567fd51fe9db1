"""Snapshots of jobs: what was read of a job since its last notification, shared by all that follow it."""

import asyncio
import json
import uuid
from dataclasses import dataclass

from sqlalchemy import Engine

from producer.api.reader import Reader
from producer.api.server_sent_events import format_event
from starlight_vocabulary.job import Job
from starlight_vocabulary.records import to_json
from storage.jobs import get_job
from storage.verdicts import Place, list_landed

# Verdicts in a page, and pages of a job that are cached for its other followers.
PAGE = 100
PAGES_KEPT = 4


@dataclass(frozen=True, slots=True)
class Page:
    """A page of verdicts of one job as events, and the place of the last one."""

    events: bytes
    end: Place


class JobSnapshot:
    """A job and its verdicts, valid until `outdated` is set. Everything is read lazily and once, for all followers."""

    def __init__(self, reader: Reader, job_id: uuid.UUID) -> None:
        self.outdated = asyncio.Event()
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

    async def wait_until_outdated(self, timeout_s: float) -> bool:
        """Return True when the snapshot is outdated, or False after the timeout."""
        try:
            await asyncio.wait_for(self.outdated.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


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
