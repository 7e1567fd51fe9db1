"""`/v1/pauses`, `/v1/workers/…/drain`, `/v1/requeue`, priorities and `/v1/operations`: for admins only."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Path, Query

from producer.api.access import Administering
from producer.api.problems import ProblemError
from producer.api.reports import report_job
from producer.api.service import Service, Shared
from starlight_vocabulary.answers import JobReport
from starlight_vocabulary.job import SHORT_TEXT
from starlight_vocabulary.operations import (
    Draining,
    OperationList,
    PauseList,
    PauseReport,
    PauseSubject,
    PriorityChange,
    Requeueing,
    RequeueRequest,
)
from storage.draining import set_draining
from storage.jobs import get_job
from storage.keys import ApiKey
from storage.operations import OperationError, list_operations
from storage.pauses import end_pause, list_pauses, pause_chunks
from storage.requeueing import change_priority, requeue_chunks

router = APIRouter(prefix="/v1", tags=["operations"])
# The range of the database column.
PauseId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Worker = Annotated[str, Path(description="Its name: device@host.", **SHORT_TEXT)]


@router.get("/pauses")
def show_pauses(_key: Administering, service: Shared) -> PauseList:
    """List the pauses."""
    return PauseList(pauses=list_pauses(service.engine))


@router.post("/pauses", status_code=201)
def pause(subject: PauseSubject, key: Administering, service: Shared) -> PauseReport:
    """Pause the chunks of a priority, a submitter or a job, or all, until the pause is deleted."""
    try:
        return pause_chunks(service.engine, subject, key.name)
    except OperationError as error:
        raise ProblemError(409, str(error)) from error


@router.delete("/pauses/{pause_id}")
def resume(pause_id: PauseId, key: Administering, service: Shared) -> PauseReport:
    """End a pause, and return it."""
    ended = end_pause(service.engine, pause_id, key.name)
    if ended is None:
        raise ProblemError(404, f"there is no pause {pause_id}")
    return ended


@router.post("/workers/drain")
def drain_all(key: Administering, service: Shared) -> Draining:
    """Drain all live workers: they claim no more chunks."""
    return _set_draining(service, key, None, draining=True)


@router.delete("/workers/drain")
def undrain_all(key: Administering, service: Shared) -> Draining:
    """Let all live workers claim chunks again."""
    return _set_draining(service, key, None, draining=False)


@router.post("/workers/{worker}/drain")
def drain(worker: Worker, key: Administering, service: Shared) -> Draining:
    """Drain a live worker: it claims no more chunks, finishes those that it has, and stays up."""
    return _set_draining(service, key, worker, draining=True)


@router.delete("/workers/{worker}/drain")
def undrain(worker: Worker, key: Administering, service: Shared) -> Draining:
    """Let a live worker claim chunks again."""
    return _set_draining(service, key, worker, draining=False)


def _set_draining(service: Service, key: ApiKey, worker: str | None, *, draining: bool) -> Draining:
    try:
        changed = set_draining(service.engine, worker, service.settings.lease_s, key.name, draining=draining)
    except OperationError as error:
        raise ProblemError(404, str(error)) from error
    return Draining(workers=changed)


@router.post("/requeue")
def requeue(wanted: RequeueRequest, key: Administering, service: Shared) -> Requeueing:
    """Make dispatched and running chunks of a job, a worker or all pending again; none counts as lost."""
    try:
        return Requeueing(chunks=requeue_chunks(service.engine, wanted, key.name))
    except OperationError as error:
        raise ProblemError(409, str(error)) from error


@router.put("/jobs/{job_id}/priority")
def move(job_id: uuid.UUID, wanted: PriorityChange, key: Administering, service: Shared) -> JobReport:
    """Change the priority of a job; running chunks are finished."""
    try:
        change_priority(service.engine, job_id, wanted.priority, key.name)
    except OperationError as error:
        raise ProblemError(409, str(error)) from error
    job = get_job(service.engine, job_id)
    if job is None:
        raise ProblemError(404, f"there is no job {job_id}")
    return report_job(job)


@router.get("/operations")
def show_operations(
    _key: Administering, service: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> OperationList:
    """List the operations, with time and operator, newest first."""
    return OperationList(operations=list_operations(service.engine, limit))
