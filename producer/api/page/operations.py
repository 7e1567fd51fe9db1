"""The operations page, for admins only: workers, queues, errors, keys, webhooks, and past operations."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from producer.api.access import Operating, authenticate_key
from producer.api.page.board import SharedBoard
from producer.api.page.rendering import PREFIX, redirect, render
from producer.api.problems import ProblemError
from producer.api.service import Service, Shared
from starlight_vocabulary.job import NO_NUL
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import ErrorCode, Priority, Scope
from storage.draining import set_draining
from storage.failures import RetryError, list_recent_failures, retry_job
from storage.keys import ApiKey, KeyNameError, create_key, list_keys, revoke_key
from storage.operations import OperationError, list_operations
from storage.pauses import end_pause, list_pauses, pause_chunks
from storage.webhooks import list_webhooks, redeliver
from storage.workers import list_live_workers

PATH: Final = "/operations"
FAILURES: Final = 5_000
WEBHOOKS: Final = 30
OPERATIONS: Final = 50

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Name = Annotated[str, Form(min_length=1, max_length=200, pattern=NO_NUL)]
PauseId = Annotated[int, Form(ge=1, le=2**31 - 1)]


def go_back(section: str) -> Response:
    """Redirect to a section of the page after a form was processed."""
    return redirect(f"{PREFIX}{PATH}#{section}")


@router.get(PATH)
def show_operations(request: Request, _key: Operating, service: Shared, board: SharedBoard) -> Response:
    """Show the operations page."""
    return _render(request, service, board)


def _render(request: Request, service: Shared, board: SharedBoard, made: str | None = None) -> Response:
    return render(
        request,
        "operations.html",
        figures=board.read().figures,
        workers=list_live_workers(service.engine, service.settings.lease_s),
        pauses=list_pauses(service.engine),
        failures=list_recent_failures(service.engine, FAILURES),
        looked_at=FAILURES,
        keys=list_keys(service.engine),
        webhooks=list_webhooks(service.engine, WEBHOOKS),
        operations=list_operations(service.engine, OPERATIONS),
        priorities=list(Priority),
        scopes=list(Scope),
        made=made,
    )


@router.post(f"{PATH}/drain")
def drain(
    key: Operating, service: Shared, draining: Annotated[bool, Form()], worker: Annotated[str, Form()] = ""
) -> Response:
    """Drain a live worker, or all, or let them claim chunks again."""
    try:
        set_draining(service.engine, worker or None, service.settings.lease_s, key.name, draining=draining)
    except OperationError as error:
        raise ProblemError(409, str(error)) from error
    return go_back("workers")


@router.post(f"{PATH}/pause")
def pause(
    key: Operating,
    service: Shared,
    priority: Annotated[Priority | None, Form()] = None,
    submitter: Annotated[str, Form(max_length=200, pattern=NO_NUL)] = "",
) -> Response:
    """Pause the chunks of a priority or a submitter, or all."""
    try:
        pause_chunks(service.engine, PauseSubject(priority=priority, submitter=submitter or None), key.name)
    except OperationError as error:
        raise ProblemError(409, str(error)) from error
    return go_back("queues")


@router.post(f"{PATH}/resume")
def resume(key: Operating, service: Shared, pause_id: PauseId) -> Response:
    """End a pause; it is no error if it has already ended."""
    end_pause(service.engine, pause_id, key.name)
    return go_back("queues")


@router.post(f"{PATH}/retry")
def retry(
    _key: Operating, service: Shared, job: Annotated[uuid.UUID, Form()], code: Annotated[ErrorCode, Form()]
) -> Response:
    """Scan the images of a job that failed with this code again, as a new job."""
    try:
        made = retry_job(service.engine, job, codes=[code], chunk_size=service.settings.chunk_size)
    except RetryError as error:
        raise ProblemError(409, str(error)) from error
    return redirect(f"{PREFIX}/jobs/{made.job_id}")


@router.post(f"{PATH}/keys")
def make_key(
    request: Request,
    key: Operating,
    service: Shared,
    board: SharedBoard,
    name: Name,
    own: Annotated[str, Form(max_length=300)],
    scope: Annotated[list[Scope], Form()],
    buckets: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Create a key and show it once; the admin must enter the own key again."""
    if not is_own(service, own, key):
        raise ProblemError(403, "this is not the key that is signed in: enter your own key again to create another")
    try:
        made = create_key(service.engine, name, scope, buckets.split(), done_by=key.name)
    except KeyNameError as error:
        raise ProblemError(409, str(error)) from error
    return _render(request, service, board, made)


def is_own(service: Service, own: str, key: ApiKey) -> bool:
    """Whether this text is the key that is signed in."""
    try:
        return authenticate_key(service, own).prefix == key.prefix
    except ProblemError as error:
        # Too many wrong keys are another refusal.
        if error.status != 401:
            raise
        return False


@router.post(f"{PATH}/keys/revoke")
def end_key(key: Operating, service: Shared, name: Name) -> Response:
    """Revoke a key, from its next request on."""
    try:
        revoke_key(service.engine, name, done_by=key.name)
    except KeyNameError as error:
        raise ProblemError(409, str(error)) from error
    return go_back("keys")


@router.post(f"{PATH}/redeliver")
def deliver_again(key: Operating, service: Shared, job: Annotated[uuid.UUID, Form()]) -> Response:
    """Deliver a webhook again."""
    try:
        redeliver(service.engine, job, key.name)
    except OperationError as error:
        raise ProblemError(409, str(error)) from error
    return go_back("webhooks")
