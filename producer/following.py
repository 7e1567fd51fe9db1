"""A job's verdicts as they are stored."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from storage.database import FINISHED, notifications
from storage.jobs import JobStatus, get_job
from storage.verdicts import PAGE, Record, verdicts_between

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """Where the job stands, and verdicts that were not yielded before."""

    job: JobStatus
    verdicts: list[Record]


class Follower:
    """Yields each verdict of one job once; memory is one byte per reference."""

    def __init__(self, engine: Engine, job_id: uuid.UUID, total: int, *, ordered: bool = False) -> None:
        self._engine = engine
        self._job_id = job_id
        self._ordered = ordered
        self._yielded = bytearray(total)
        self._next = 0
        self._count = 0

    def updates(self) -> Iterator[Update]:
        """Yield updates, some of them without verdicts, until every reference has its verdict.

        Listens to what workers announce; what was stored before, or announced while nobody listened, is looked up.
        """
        for heard in notifications(self._engine, (FINISHED,), POLL_S):
            job = get_job(self._engine, self._job_id)
            assert job is not None, "jobs are not deleted while they are followed"
            # Also without news, so that whoever follows can do something else now and then.
            yield Update(job, [])
            if job.finished > self._count:
                yield from self._news(job, heard)
            if job.ended:
                return

    def _news(self, job: JobStatus, heard: set[str]) -> Iterator[Update]:
        if self._ordered or not heard or job.ended:
            yield from self._sweep(job)
        else:
            for first, count in self._ranges(heard):
                yield Update(job, self._unseen(first, first + count - 1))

    def _ranges(self, heard: set[str]) -> list[tuple[int, int]]:
        announced = [payload.split() for payload in heard]
        return sorted((int(first), int(count)) for job, first, count in announced if job == str(self._job_id))

    def _sweep(self, job: JobStatus) -> Iterator[Update]:
        """Look through the ordinals from the first one without a yielded verdict on."""
        position = self._next
        while position < len(self._yielded):
            page = self._unseen(position, position + PAGE - 1)
            if page:
                yield Update(job, page)
            self._advance()
            if self._ordered and self._next < min(position + PAGE, len(self._yielded)):
                return
            position += PAGE

    def _unseen(self, first: int, last: int) -> list[Record]:
        fresh = []
        for verdict in verdicts_between(self._engine, self._job_id, first, last):
            ordinal = verdict["ordinal"]
            if self._yielded[ordinal] or (self._ordered and ordinal > first and not self._yielded[ordinal - 1]):
                continue
            self._yielded[ordinal] = 1
            self._count += 1
            fresh.append(verdict)
        return fresh

    def _advance(self) -> None:
        end = self._yielded.find(0, self._next)
        self._next = len(self._yielded) if end < 0 else end
