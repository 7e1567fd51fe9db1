"""The verdicts that requests with one image wait for, read together: those of all jobs that were heard of meanwhile."""

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial

from producer.api.reader import Reader
from starlight_vocabulary.verdict import Verdict
from storage.verdicts import list_first

# Jobs that were heard of before somebody waited for them: a worker may be faster than the answer to its submission.
REMEMBERED = 4096


class FirstVerdicts:
    """Verdicts on the first images of jobs, for those who wait for them; used in the event loop alone."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: dict[uuid.UUID, asyncio.Future[Verdict]] = {}
        # In their order; a mapping, as looking through so many takes longer than a verdict.
        self._heard: dict[uuid.UUID, None] = {}
        self._due: set[uuid.UUID] = set()
        self._reading: asyncio.Task[None] | None = None

    async def wait_for(self, job_id: uuid.UUID, timeout_s: float) -> Verdict | None:
        """Return the verdict on the first image of a job, None where it does not come within so many seconds."""
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
        """Read the verdicts of these jobs, of which was heard, for who waits; of all, where nothing was heard."""
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
