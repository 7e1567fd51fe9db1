"""The verdicts that requests with one image wait for; one query reads those of all jobs notified meanwhile."""

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial

from producer.api.reader import Reader
from starlight_vocabulary.verdict import Verdict
from storage.verdicts import list_first

# Notifications that are remembered: a worker may finish before the request starts to wait.
REMEMBERED = 4096


class FirstVerdicts:
    """Waits for the verdicts of the first images of jobs; to be used in the event loop only."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: dict[uuid.UUID, asyncio.Future[Verdict]] = {}
        # A dict as an ordered set, with fast look-up.
        self._heard: dict[uuid.UUID, None] = {}
        self._due: set[uuid.UUID] = set()
        self._reading: asyncio.Task[None] | None = None

    async def wait_for(self, job_id: uuid.UUID, timeout_s: float) -> Verdict | None:
        """Return the verdict of the first image of a job, or None after the timeout."""
        self._waiting[job_id] = asyncio.get_running_loop().create_future()
        if job_id in self._heard:
            self._read({job_id})
        try:
            async with asyncio.timeout(timeout_s):
                return await self._waiting[job_id]
        except TimeoutError:
            return None
        finally:
            del self._waiting[job_id]

    def look_for(self, heard: Sequence[uuid.UUID]) -> None:
        """Read the verdicts of these jobs for waiting requests; if `heard` is empty, those for all waiting requests."""
        self._heard.update(dict.fromkeys(heard))
        while len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        self._read(self._waiting.keys() & set(heard) if heard else set(self._waiting))

    def _read(self, job_ids: set[uuid.UUID]) -> None:
        self._due |= job_ids
        if self._due and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_due())

    async def _read_due(self) -> None:
        while self._due:
            job_ids, self._due = list(self._due), set()
            verdicts = await self._reader.read(partial(list_first, job_ids=job_ids))
            for job_id, verdict in verdicts.items():
                waiting = self._waiting.get(job_id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(verdict)
