"""What `starlight top` looks at and acts on: the servers themselves, or the API of another machine."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from producer.cli.installation import Installation
from producer.statistics import take_statistics
from starlight_vocabulary.answers import Statistics
from starlight_vocabulary.job import Job
from starlight_vocabulary.operations import PauseReport, PauseSubject
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Outcome
from storage.draining import set_draining
from storage.jobs import cancel_job, list_jobs
from storage.pauses import end_pause, list_pauses, pause_chunks
from storage.verdict_search import VerdictFilter, find_verdicts

if TYPE_CHECKING:
    from starlight_client import Starlight

# More would not fit on a screen.
MOST_JOBS = 200
MOST_ERRORS = 20
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one time: statistics, open jobs (newest first), the last failed images, and pauses.

    `pauses` is None if the key may not see them; such a key may not act either.
    """

    statistics: Statistics
    jobs: Sequence[Job]
    errors: Sequence[Verdict]
    pauses: Sequence[PauseReport] | None


class Access(Protocol):
    """Reads the state and acts. Methods block until the servers answer, and raise their errors."""

    def look(self) -> Snapshot:
        """Return the current state."""

    def pause(self, subject: PauseSubject) -> None:
        """Pause the subject."""

    def resume(self, pause: PauseReport) -> None:
        """End a pause."""

    def set_draining(self, worker: str, *, draining: bool) -> None:
        """Drain a worker, or let it claim chunks again."""

    def cancel(self, job_id: uuid.UUID) -> None:
        """Cancel a job."""


class DirectAccess:
    """The servers of this machine's commands, accessed directly."""

    def __init__(self, current: Installation) -> None:
        self._engine = current.engine
        self._settings = current.settings

    def look(self) -> Snapshot:
        """Return the current state."""
        return Snapshot(
            take_statistics(self._engine, self._settings),
            list_jobs(self._engine, limit=MOST_JOBS, only_open=True),
            list(find_verdicts(self._engine, VerdictFilter(outcome=Outcome.ERROR), MOST_ERRORS)),
            list_pauses(self._engine),
        )

    def pause(self, subject: PauseSubject) -> None:
        """Pause the subject."""
        pause_chunks(self._engine, subject, self._settings.submitter)

    def resume(self, pause: PauseReport) -> None:
        """End a pause."""
        end_pause(self._engine, pause.id, self._settings.submitter)

    def set_draining(self, worker: str, *, draining: bool) -> None:
        """Drain a worker, or let it claim chunks again."""
        set_draining(self._engine, worker, self._settings.lease_s, self._settings.submitter, draining=draining)

    def cancel(self, job_id: uuid.UUID) -> None:
        """Cancel a job."""
        cancel_job(self._engine, job_id)


class ApiAccess:
    """The API of another machine."""

    def __init__(self, client: "Starlight") -> None:
        self._client = client

    def look(self) -> Snapshot:
        """Return the current state."""
        return Snapshot(
            self._client.statistics(),
            list(self._client.jobs(only_open=True, limit=MOST_JOBS)),
            list(self._client.find(outcome=Outcome.ERROR, limit=MOST_ERRORS)),
            self._list_pauses(),
        )

    def _list_pauses(self) -> Sequence[PauseReport] | None:
        from starlight_client import RefusedError

        try:
            return self._client.pauses()
        except RefusedError as error:
            if error.status != FORBIDDEN:
                raise
            return None

    def pause(self, subject: PauseSubject) -> None:
        """Pause the subject."""
        self._client.pause(subject)

    def resume(self, pause: PauseReport) -> None:
        """End a pause."""
        self._client.resume(pause.id)

    def set_draining(self, worker: str, *, draining: bool) -> None:
        """Drain a worker, or let it claim chunks again."""
        if draining:
            self._client.drain(worker)
        else:
            self._client.undrain(worker)

    def cancel(self, job_id: uuid.UUID) -> None:
        """Cancel a job."""
        self._client.cancel(job_id)
