"""Authentication and authorisation: keys, scopes, rate limits, quotas, and who may see a job."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from redis.exceptions import RedisError

from producer.api.known_keys import count_at_once
from producer.api.page.visiting import limit_sessions, read_token
from producer.api.problems import ProblemError
from producer.api.service import Service, Shared
from starlight_vocabulary.job import Job
from starlight_vocabulary.words import Scope
from storage.jobs import get_job
from storage.keys import ApiKey, find_key
from storage.sessions import find_session_key
from storage.waiting import TooManyWaitingError, find_room

# Retry-After for keys with too many waiting images. Chunks take seconds, so room comes soon.
WAIT_S = 10

log = logging.getLogger(__name__)
bearer = HTTPBearer(auto_error=False, description="A key of `starlight keys create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


def read_bearer(authorization: str) -> str:
    """Return the bearer token of an Authorization header, or "" if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authenticate_key(service: Service, token: str) -> ApiKey:
    """Return the key with this token and count the request; raises a problem (401 or 429)."""
    token = token.strip()
    begun = service.known_keys.begin()
    key = find_key(service.engine, token)
    if key is None:
        raise ProblemError(
            401,
            "a valid API key is required: send `Authorization: Bearer KEY`, see `starlight keys create`",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if begun is None:
        _count_requests(service, key)
    else:
        counted = service.known_keys.take_counted(token)
        counted = counted or _count_requests(service, key, count_at_once(service.settings.rate_limit_per_minute))
        service.known_keys.remember(token, key, counted - 1, begun)
    return key


# Stands for all clients that send an inscription without a key, if the settings allow it. They share one rate limit.
INSCRIBER = ApiKey("inscriber", "(none)", (Scope.SUBMIT,), datetime.fromtimestamp(0, UTC), None, ())


def count_inscriber(service: Service) -> ApiKey:
    """Return the key that stands for all clients without one, and count the request; raises a problem (429)."""
    _count_requests(service, INSCRIBER)
    return INSCRIBER


def authenticate_session(service: Service, request: Request) -> ApiKey:
    """Return the key that is signed in to the page and count the request; raises a problem (401 or 429)."""
    token = read_token(request)
    key = find_session_key(service.engine, token, limit_sessions(service.settings)) if token else None
    if key is None:
        raise ProblemError(401, "sign in first: there is no session, or it has expired")
    _count_requests(service, key)
    return key


def require_scope(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """Return the dependency that accepts only keys with this scope; `Entrance` has authenticated the key."""

    # Async, so that FastAPI does not run it in a thread.
    async def check(request: Request, _documented: Credentials) -> ApiKey:
        key: ApiKey = request.state.key
        if not key.allows(scope):
            raise ProblemError(403, f"the key {key.prefix} lacks the scope {scope.value!r}")
        return key

    return check


async def _require_operator(request: Request) -> ApiKey:
    key: ApiKey = request.state.key
    if not key.allows(Scope.ADMIN):
        raise ProblemError(404, "there is no such page")
    return key


# An admin; others get 404, as if the page did not exist.
Operating = Annotated[ApiKey, Depends(_require_operator)]

Submitting = Annotated[ApiKey, Depends(require_scope(Scope.SUBMIT))]
Reading = Annotated[ApiKey, Depends(require_scope(Scope.READ))]
Administering = Annotated[ApiKey, Depends(require_scope(Scope.ADMIN))]


def _count_requests(service: Service, key: ApiKey, wanted: int = 1) -> int:
    """Count `wanted` requests, or one if the limit allows no more; return how many. Raises a problem (429)."""
    limit = RateLimitItemPerMinute(service.settings.rate_limit_per_minute)
    try:
        if service.limiter.hit(limit, key.prefix, cost=wanted):
            return wanted
        if wanted > 1 and service.limiter.hit(limit, key.prefix):
            return 1
        reset = service.limiter.get_window_stats(limit, key.prefix).reset_time
    except (StorageError, RedisError) as error:
        # Redis is disposable: requests are accepted without it.
        log.warning("requests are not counted: %s", error)
        return 1
    wait_s = max(1, round(reset - time.time()))
    raise ProblemError(429, f"more than {limit.amount:,} requests per minute", headers={"Retry-After": str(wait_s)})


def _check_quota(key: Submitting, service: Shared) -> ApiKey:
    check_quota(service, key)
    return key


def check_quota(service: Service, key: ApiKey) -> None:
    """Raise a problem (429) if the limit of waiting images is reached, for this key or in total."""
    try:
        find_room(service.engine, key.name, service.waiting_limits).check()
    except TooManyWaitingError as error:
        raise reject_for_waiting(error) from error


def reject_for_waiting(error: TooManyWaitingError) -> ProblemError:
    """Return the problem for a key with too many waiting images."""
    return ProblemError(429, str(error), headers={"Retry-After": str(WAIT_S)})


# A key that may submit and is below its limits of waiting images. Checked before anything is stored.
SubmittingImages = Annotated[ApiKey, Depends(_check_quota)]


def visible_submitter(key: ApiKey) -> str | None:
    """Return the submitter whose jobs the key may see, or None if it may see all."""
    return None if key.allows(Scope.ADMIN) else key.name


def require_visible_job(service: Service, key: ApiKey, job_id: uuid.UUID) -> Job:
    """Return the job if the key may see it; else raises a problem (404), as for a job that does not exist."""
    job = get_job(service.engine, job_id)
    if job is None or visible_submitter(key) not in (None, job.submitter):
        raise ProblemError(404, f"there is no job {job_id}")
    return job


def _require_job_of_path(job_id: uuid.UUID, key: Reading, service: Shared) -> Job:
    return require_visible_job(service, key, job_id)


VisibleJob = Annotated[Job, Depends(_require_job_of_path)]
