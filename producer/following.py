"""A job's verdicts as they are stored."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from storage.database import FINISHED, notifications
from storage.jobs import JobStatus, get_job
from storage.verdicts import FIRST, PAGE, Record, verdicts_between, verdicts_landed

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """Where the job stands, and verdicts that were not yielded before."""

    job: JobStatus
    verdicts: list[Record]


class Follower:
    """Yields each verdict of one job once, in the order in which they are stored or, `ordered`, were submitted."""

    def __init__(self, engine: Engine, job_id: uuid.UUID, *, ordered: bool = False) -> None:
        self._engine = engine
        self._job_id = job_id
        self._pages = self._submitted if ordered else self._landed
        self._place = FIRST
        self._next = 0
        self._count = 0

    def updates(self) -> Iterator[Update]:
        """Yield updates, some of them without verdicts, until every reference has its verdict.

        Notifications only wake it: what was stored is looked up, whether or not one was heard.
        """
        for _ in notifications(self._engine, (FINISHED,), POLL_S):
            job = get_job(self._engine, self._job_id)
            assert job is not None, "jobs are not deleted while they are followed"
            # Also without news, so that whoever follows can do something else now and then.
            yield Update(job, [])
            while job.finished > self._count and (page := self._pages()):
                self._count += len(page)
                yield Update(job, page)
            if job.ended:
                return

    def _landed(self) -> list[Record]:
        page = verdicts_landed(self._engine, self._job_id, self._place)
        if page:
            self._place = page[-1][0]
        return [verdict for _, verdict in page]

    def _submitted(self) -> list[Record]:
        found = verdicts_between(self._engine, self._job_id, self._next, self._next + PAGE - 1)
        # Up to the first gap: behind it, none has the ordinal that it is counted with.
        page = [verdict for ordinal, verdict in enumerate(found, self._next) if verdict["ordinal"] == ordinal]
        self._next += len(page)
        return page
