"""Errors as problem documents (RFC 9457); each has the request's id, by which it can be found in the log."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from producer.api.page.rendering import is_page, render_problem
from producer.invalid_input import explain
from storage.database import may_succeed_later
from storage.time_limits import QueryTooLongError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
# Details of the framework, which repeat the title.
UNROUTED = {
    HTTPStatus.NOT_FOUND.phrase: "there is nothing at {path}; /docs describes every request",
    HTTPStatus.METHOD_NOT_ALLOWED.phrase: "{path} does not accept {method}; /docs describes every request",
}

log = logging.getLogger(__name__)


class WrongField(BaseModel):
    """One invalid field of a request."""

    field: str = Field(examples=["body.threshold"])
    message: str = Field(examples=["Input should be less than 1"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no job 019ab3c4-0000-7000-8000-000000000000"])
    instance: str = Field(examples=["/v1/jobs/019ab3c4-0000-7000-8000-000000000000"])
    request_id: str = Field(examples=["5f0c3b1e9d7a4c21"])
    message: str = Field(description="The same as `detail`, for Stargate.")
    error: str = Field(description="The title, or the error code of an image, for Stargate.")
    errors: list[WrongField] | None = None


SCHEMAS = "#/components/schemas/"


def document_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of responses with these statuses, which are problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


class ProblemError(Exception):
    """The request is refused, with this status; `detail` says why and what to do."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def reject_field(field: str, message: str) -> ProblemError:
    """Return the error (422) for one invalid field."""
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])


def answer_problem(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return a response with a problem document, or an HTML page for requests of the web page."""
    title = HTTPStatus(status).phrase
    if is_page(request.url.path):
        return render_problem(request, status, title, detail, headers, **more)
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request.state.request_id,
        "message": detail,
        "error": str(more.get("error_code") or title),
        **more,
    }
    return JSONResponse(document, status, dict(headers or {}), MEDIA_TYPE)


def answer_outage(request: Request, error: DBAPIError) -> Response:
    """Return the response (503) to a request while the database is not available; raises other errors again."""
    if not may_succeed_later(error):
        raise error
    log.warning("the database does not answer: %s", error.orig)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return answer_problem(request, 503, "the database does not answer; try again later", headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of this application with a problem document, and describe these in the OpenAPI document."""
    describe = app.openapi

    def describe_problems() -> dict[str, Any]:
        document = describe()
        problem = Problem.model_json_schema(ref_template=SCHEMAS + "{model}")
        document["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
        return document

    # FastAPI documents this assignment as the way to extend the document.
    app.openapi = describe_problems  # type: ignore[method-assign]

    @app.exception_handler(ProblemError)
    def answer_refusal(request: Request, error: ProblemError) -> Response:
        return answer_problem(request, error.status, error.detail, error.headers, **error.more)

    @app.exception_handler(QueryTooLongError)
    def answer_long_query(request: Request, error: QueryTooLongError) -> Response:
        return answer_problem(request, 422, str(error))

    @app.exception_handler(HTTPException)
    def answer_http_error(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if detail in UNROUTED:
            detail = UNROUTED[detail].format(path=request.url.path, method=request.method)
        return answer_problem(request, error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = [
            {"field": ".".join(str(part) for part in each["loc"]), "message": explain(each)} for each in error.errors()
        ]
        detail = "; ".join(f"{each['field']}: {each['message']}" for each in wrong)
        return answer_problem(request, 422, detail, errors=wrong)

    app.exception_handler(DBAPIError)(answer_outage)
