"""Actions on one or several jobs: cancel, retry, pause, change of priority, and download of verdicts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from producer.api.access import Reading, check_quota, require_visible_job
from producer.api.negotiation import stream_verdicts
from producer.api.page.rendering import PREFIX, redirect, render
from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service, Shared
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import Job
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import Priority, Scope
from storage.failures import RetryError, retry_job
from storage.jobs import cancel_job
from storage.keys import ApiKey
from storage.operations import OperationError
from storage.pauses import pause_chunks, resume_chunks
from storage.requeueing import change_priority
from storage.verdict_search import VerdictFilter, find_verdicts

# Jobs per action, at most: as many as a page lists.
MOST: Final = 50

router = APIRouter(prefix=PREFIX, include_in_schema=False)


class JobAction(StrEnum):
    """An action on a job."""

    CANCEL = "cancel"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    INTERACTIVE = "interactive"
    BULK = "bulk"

    @property
    def scope(self) -> Scope:
        """The scope that the action requires, as in the API."""
        return Scope.SUBMIT if self in (JobAction.CANCEL, JobAction.RETRY) else Scope.ADMIN


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of an action on one job: a text, and the new job if one was made."""

    job: Job
    done: str
    was_done: bool
    made: uuid.UUID | None = None


Chosen = Annotated[list[uuid.UUID], Form(max_length=MOST)]


@router.post("/jobs/actions")
def act_on_jobs(
    request: Request,
    key: Reading,
    service: Shared,
    action: Annotated[JobAction, Form()],
    job: Chosen = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Apply an action to each of the jobs, and show the results."""
    if not key.allows(action.scope):
        raise ProblemError(403, f"the key {key.prefix} lacks the scope {action.scope.value!r}")
    jobs = require_chosen(service, key, job)
    results = [act(service, key, action, each) for each in jobs]
    if len(jobs) == 1:
        (only,) = results
        if not only.was_done:
            raise ProblemError(409, only.done)
        return redirect(f"{PREFIX}/jobs/{only.made or only.job.id}")
    return render(request, "job_action_results.html", results=results, action=action)


@router.post("/jobs/download")
def download_jobs(
    key: Reading,
    service: Shared,
    format: Annotated[ExportFormat, Form()],  # noqa: A002 - the name of the field
    job: Chosen = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Return the verdicts of several jobs, one job after the other; CSV is safe for spreadsheets."""
    jobs = require_chosen(service, key, job)
    found = chain.from_iterable(find_verdicts(service.engine, VerdictFilter(job_id=each.id)) for each in jobs)
    return stream_verdicts(found, format.media_type, spreadsheet=True)


def require_chosen(service: Service, key: ApiKey, job_ids: Sequence[uuid.UUID]) -> list[Job]:
    """Return the chosen jobs; raises a problem if there are none, or the key may not see one of them."""
    if not job_ids:
        raise reject_field("body.job", "select at least one job")
    return [require_visible_job(service, key, job_id) for job_id in dict.fromkeys(job_ids)]


def act(service: Service, key: ApiKey, action: JobAction, job: Job) -> ActionResult:
    """Apply an action to a job; a failure is a result, too."""
    engine = service.engine
    if job.finished_at and action in (JobAction.CANCEL, JobAction.PAUSE):
        return ActionResult(job, f"job {job.id} has already ended", was_done=False)
    try:
        match action:
            case JobAction.CANCEL:
                cancelled = cancel_job(engine, job.id) or 0
                return ActionResult(job, f"cancelled; not scanned: {format_count(cancelled, 'image')}", was_done=True)
            case JobAction.RETRY:
                check_quota(service, key)
                made = retry_job(engine, job.id, chunk_size=service.settings.chunk_size)
                return ActionResult(
                    job, f"retrying {format_count(made.total, 'image')}", was_done=True, made=made.job_id
                )
            case JobAction.PAUSE:
                pause_chunks(engine, PauseSubject(job_id=job.id), key.name)
                return ActionResult(job, "paused", was_done=True)
            case JobAction.RESUME:
                resume_chunks(engine, PauseSubject(job_id=job.id), key.name)
                return ActionResult(job, "resumed", was_done=True)
            case JobAction.INTERACTIVE | JobAction.BULK:
                change_priority(engine, job.id, Priority(action.value), key.name)
                return ActionResult(job, f"priority {action.value}", was_done=True)
    except (RetryError, OperationError) as error:
        return ActionResult(job, str(error), was_done=False)
    except ProblemError as error:
        return ActionResult(job, error.detail, was_done=False)
