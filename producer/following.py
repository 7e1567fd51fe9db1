"""Following a job: its verdicts as they are stored."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from starlight_vocabulary.job import Job
from starlight_vocabulary.verdict import Verdict
from storage.jobs import get_job
from storage.notifications import FINISHED, listen
from storage.verdicts import FIRST, PAGE, list_between, list_landed

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """The current state of the job, and verdicts that were not yielded before."""

    job: Job
    verdicts: list[Verdict]


class Follower:
    """Yields each verdict of a job once: in the order of storing or, if `ordered`, of submission."""

    def __init__(self, engine: Engine, job_id: uuid.UUID, *, ordered: bool = False) -> None:
        self._engine = engine
        self._job_id = job_id
        self._read_page = self._read_submitted if ordered else self._read_landed
        self._place = FIRST
        self._next = 0
        self._count = 0

    def follow(self) -> Iterator[Update]:
        """Yield updates, some without verdicts, until every reference has its verdict.

        A lost notification only causes a delay: verdicts are also looked up every `POLL_S`.
        """
        for _ in listen(self._engine, (FINISHED,), POLL_S):
            job = get_job(self._engine, self._job_id)
            assert job is not None, "jobs are not deleted while they are followed"
            # Yielded without verdicts too, so that the caller regains control at every poll.
            yield Update(job, [])
            while job.finished > self._count and (page := self._read_page()):
                self._count += len(page)
                yield Update(job, page)
            if job.ended:
                return

    def _read_landed(self) -> list[Verdict]:
        page = list_landed(self._engine, self._job_id, self._place)
        if page:
            self._place = page[-1][0]
        return [verdict for _, verdict in page]

    def _read_submitted(self) -> list[Verdict]:
        found = list_between(self._engine, self._job_id, self._next, self._next + PAGE - 1)
        # Only up to the first gap: the missing verdict comes before those after it.
        page = [verdict for ordinal, verdict in enumerate(found, self._next) if verdict.ordinal == ordinal]
        self._next += len(page)
        return page
