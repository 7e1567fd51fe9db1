"""The entrance of the API: checks host name, key and query before any of the body is read, and limits every body.

It is middleware, so that no route can forget it. Routes that are not listed here get the smallest body limit.
"""

import asyncio
import time
from typing import Final

from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.api.access import authenticate_key, authenticate_session, count_inscriber, read_bearer
from producer.api.page.rendering import PREFIX, is_page
from producer.api.page.visiting import is_open_page, is_same_origin
from producer.api.problems import ProblemError, answer_outage, answer_problem, reject_field
from producer.api.service import Service
from starlight_vocabulary.formats import JSON
from storage.hosts import is_asked_by_name, list_names_if_known
from storage.settings import Settings
from worker.image_reading import MESSAGE_BYTES

# Paths that need no key; none of them takes a body.
OPEN_PATHS: Final = ("/health", "/info", "/docs", "/openapi.json")
STARGATE_PREFIX: Final = "/bitcoin/v1"
INSCRIBE: Final = "/inscribe"
METRICS: Final = "/metrics"
# Parameters of queries that may have several values.
LISTS: Final = ("error_code",)
# Limits of JSON bodies, which are parsed as a whole and then take many times their size in memory.
JSON_BYTES: Final = 64 * 2**10
JOB_JSON_BYTES: Final = 4 * 2**20
BATCH_JSON_BYTES: Final = 16 * 2**20
# Clients must send so much of a body within each time limit.
PIECE_BYTES: Final = 64 * 2**10
# Allowance for the fields and boundaries of a form around one image.
FORM_BYTES: Final = 64 * 2**10


def is_open(path: str) -> bool:
    """Whether a path can be requested without a key."""
    return path.removeprefix(STARGATE_PREFIX) in OPEN_PATHS or path.startswith("/docs/")


def find_limit(settings: Settings, path: str, media_type: str) -> int:
    """Return the limit of a request's body, in bytes."""
    route = path.removeprefix(STARGATE_PREFIX)
    if route in ("/v1/jobs", f"{PREFIX}/jobs"):
        limit = JOB_JSON_BYTES if media_type == JSON else settings.max_upload_bytes
    elif route in ("/scan/image", "/extract"):
        limit = settings.max_image_bytes + FORM_BYTES
    elif route == INSCRIBE:
        limit = settings.max_image_bytes + MESSAGE_BYTES + FORM_BYTES
    else:
        limit = BATCH_JSON_BYTES if route == "/scan/batch" else JSON_BYTES
    return min(limit, settings.max_upload_bytes)


class Entrance:
    """ASGI middleware: sets `request.state.key`, and limits size and time of the body.

    It refuses foreign host names, and parameters of the query that have several values but may have only one: otherwise
    all but the last would be ignored.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._names = list_names_if_known(service.settings.api_host, service.settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem: 401, 403, 413, 421, 422, 429 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        limit = find_limit(self._service.settings, request.url.path, read_media_type(request))
        try:
            await self._check(request, limit)
        except ProblemError as error:
            answer = answer_problem(request, error.status, error.detail, error.headers, **error.more)
        except DBAPIError as error:
            answer = answer_outage(request, error)
        else:
            await self._app(scope, limit_body(receive, limit, self._service.settings.transfer_timeout_s), send)
            return
        await answer(scope, receive, send)

    async def _check(self, request: Request, limit: int) -> None:
        if not is_asked_by_name(request.headers.get("host"), self._names):
            raise ProblemError(421, "unknown host name: add it to STARLIGHT_ALLOWED_HOSTS if it is this server's")
        token = read_bearer(request.headers.get("authorization", ""))
        needs_key = not is_page(request.url.path) and not is_open(request.url.path)
        request.state.key = self._service.known_keys.admit(token) if needs_key else None
        if request.state.key is None:
            await run_in_threadpool(self._find_key, request, token)
        check_query(request)
        announced = request.headers.get("content-length", "0")
        # What does not exist is answered as such, without reading the body.
        if announced.isdecimal() and int(announced) > limit and has_route(request):
            raise ProblemError(413, explain_limit(limit))

    def _find_key(self, request: Request, token: str) -> None:
        if is_page(request.url.path):
            self._check_visitor(request)
        elif self._is_let_in_without_key(request):
            request.state.key = None if request.url.path == METRICS else count_inscriber(self._service)
        elif not is_open(request.url.path):
            request.state.key = authenticate_key(self._service, token)

    def _is_let_in_without_key(self, request: Request) -> bool:
        """Whether a setting allows this request without a key; if it has a key, that must be valid."""
        settings = self._service.settings
        path = request.url.path
        is_inscription = request.method == "POST" and path.removeprefix(STARGATE_PREFIX) == INSCRIBE
        may = (settings.metrics_without_key and path == METRICS) or (settings.inscribe_without_key and is_inscription)
        return may and "authorization" not in request.headers

    def _check_visitor(self, request: Request) -> None:
        if not is_same_origin(request):
            raise ProblemError(403, "this form was sent by another site, or the browser does not say by which site")
        if not is_open_page(request.url.path):
            request.state.key = authenticate_session(self._service, request)


def has_route(request: Request) -> bool:
    """Whether there is something at the path of a request."""
    return any(route.matches(request.scope)[0] is not Match.NONE for route in request.app.routes)


def check_query(request: Request) -> None:
    """Raise a problem (422) if the query repeats a parameter that may have only one value."""
    given: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in given and name not in LISTS:
            raise reject_field(f"query.{name}", "this parameter may have only one value: send it once")
        given.add(name)


def limit_body(receive: Receive, limit: int, transfer_s: float) -> Receive:
    """Return a wrapper of `receive` that limits the body.

    It raises HTTPException: 413 if the body is larger than `limit` bytes, 408 if `PIECE_BYTES` of it take longer than
    `transfer_s` seconds.
    """
    size, left_s, is_whole = 0, transfer_s, False

    async def receive_within() -> Message:
        nonlocal size, left_s, is_whole
        if is_whole:
            return await receive()
        begun_at = time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                message = await receive()
        except TimeoutError:
            detail = f"the body was sent too slowly: {PIECE_BYTES // 1024} KiB took more than {transfer_s:g} s"
            raise HTTPException(408, detail, headers={"Connection": "close"}) from None
        pieces = size // PIECE_BYTES
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, explain_limit(limit))
        left_s = left_s - (time.monotonic() - begun_at) if size // PIECE_BYTES == pieces else transfer_s
        is_whole = not message.get("more_body", False)
        return message

    return receive_within


def explain_limit(limit: int) -> str:
    """Return the error message for a body that is too large."""
    return f"the request body is larger than the limit of {limit:,} bytes"


def read_media_type(request: Request) -> str:
    """Return the media type of the body, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
