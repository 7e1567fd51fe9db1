"""Verdicts of a job, of all jobs, and of one image."""

import base64
import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from producer.api.access import Reading, VisibleJob, visible_submitter
from producer.api.filters import Filters, Model, Sha256
from producer.api.named_jobs import require_named_job
from producer.api.named_models import require_known
from producer.api.negotiation import STREAMED, negotiate, stream_verdicts
from producer.api.problems import ProblemError
from producer.api.service import Service, Shared
from starlight_vocabulary.answers import Provenance, VerdictPage, VerdictReport
from starlight_vocabulary.formats import JSON
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import Verdict
from storage.provenance import find_provenance, report_verdict
from storage.verdict_search import Position, VerdictFilter, find_verdicts
from storage.verdicts import MAX_ORDINAL, list_between

# Verdicts in a page of JSON, by default and at most.
USUAL, MOST = 100, 1000

router = APIRouter(prefix="/v1", tags=["verdicts"])


def encode_cursor(position: Position) -> str:
    """Return the position as a cursor."""
    text = f"{position.scanned_at.isoformat()} {position.job_id} {position.ordinal}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_cursor(cursor: str) -> Position:
    """Return the position; raises ValueError if the cursor is invalid."""
    try:
        scanned_at, job_id, ordinal = base64.urlsafe_b64decode(cursor).decode("ascii").split(" ")
        position = Position(datetime.fromisoformat(scanned_at), uuid.UUID(job_id), int(ordinal))
        known = encode_cursor(position) == cursor
    except ValueError:
        known = False
    if not known:
        raise ValueError("invalid cursor: use the `next` of a page")
    return position


def check_cursor(cursor: str) -> str:
    """Return the cursor; raises ValueError if it is invalid."""
    decode_cursor(cursor)
    return cursor


class Paging(BaseModel):
    """The part of the verdicts to return."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(None, ge=1, description=f"Maximum number; for JSON {USUAL} by default, at most {MOST}.")
    cursor: Annotated[str, AfterValidator(check_cursor)] | None = Field(None, description="From the `next` of a page.")

    spreadsheet: bool = Field(False, description="Make CSV safe for spreadsheets: no cell is a formula.")

    @property
    def after(self) -> Position | None:
        """The position of the verdict after which to continue."""
        return decode_cursor(self.cursor) if self.cursor else None


class JobSearch(Paging, Filters):
    """Filters for the verdicts of a job."""

    model: Model | None = None


class Search(JobSearch):
    """Filters for verdicts."""

    job_id: uuid.UUID | None = None


Accept = Annotated[str, Header(description=f"One of {', '.join((JSON, *STREAMED))}.")]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page as JSON, or everything in another media type.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in STREAMED},
    },
}


@router.get("/jobs/{job_id}/verdicts", response_model=VerdictPage, responses=ANSWERS)
def list_job_verdicts(
    job: VisibleJob, service: Shared, request: Request, search: Annotated[JobSearch, Query()], accept: Accept = "*/*"
) -> Response:
    """Return the verdicts of a job that are stored so far, in the order of submission.

    By the `Accept` header, as pages of JSON, or all of them as NDJSON, CSV or Parquet.
    """
    return answer_verdicts(
        service.engine, request, search.build_filter(job_id=job.id, model=search.model), search, accept
    )


def _require_verdict_of_path(
    job: VisibleJob, service: Shared, ordinal: Annotated[int, Path(ge=0, le=MAX_ORDINAL)]
) -> Verdict:
    found = list_between(service.engine, job.id, ordinal, ordinal)
    if not found:
        raise ProblemError(404, f"job {job.id} has no verdict {ordinal}, or not yet")
    return found[0]


VisibleVerdict = Annotated[Verdict, Depends(_require_verdict_of_path)]


def require_provenance(service: Service, verdict: Verdict) -> Provenance:
    """Return the provenance of a verdict; raises a problem (404) if its job was deleted meanwhile."""
    provenance = find_provenance(service.engine, verdict.job_id, verdict.ordinal)
    if provenance is None:
        raise ProblemError(404, f"job {verdict.job_id} was deleted")
    return provenance


@router.get("/jobs/{job_id}/verdicts/{ordinal}", response_model=VerdictReport)
def show_verdict(verdict: VisibleVerdict, service: Shared) -> JSONResponse:
    """Return one verdict with its provenance."""
    provenance = require_provenance(service, verdict)
    return JSONResponse(to_json(report_verdict(verdict, provenance)))


@router.get("/verdicts", response_model=VerdictPage, responses=ANSWERS)
def list_verdicts(
    key: Reading, service: Shared, request: Request, search: Annotated[Search, Query()], accept: Accept = "*/*"
) -> Response:
    """Return verdicts, newest first, or those of one job in the order of submission. Admins see all jobs."""
    require_named_job(service, key, "query.job_id", search.job_id)
    wanted = search.build_filter(job_id=search.job_id, submitter=visible_submitter(key), model=search.model)
    return answer_verdicts(service.engine, request, wanted, search, accept)


@router.get("/images/{sha256}", response_model=VerdictPage, responses=ANSWERS)
def list_image_verdicts(
    key: Reading,
    service: Shared,
    request: Request,
    sha256: Annotated[Sha256, Path()],
    paging: Annotated[Paging, Query()],
    accept: Accept = "*/*",
) -> Response:
    """Return all verdicts on the file with this SHA-256, newest first. Admins see all jobs."""
    return answer_verdicts(
        service.engine, request, VerdictFilter(sha256=sha256, submitter=visible_submitter(key)), paging, accept
    )


def answer_verdicts(engine: Engine, request: Request, wanted: VerdictFilter, paging: Paging, accept: str) -> Response:
    """Return a page as JSON, or everything in another media type."""
    kind = negotiate(accept)
    require_known(engine, "query.model", wanted.model)
    if kind != JSON:
        every = find_verdicts(engine, wanted, paging.limit, paging.after)
        return stream_verdicts(every, kind, spreadsheet=paging.spreadsheet)
    limit = min(paging.limit or USUAL, MOST)
    found = list(find_verdicts(engine, wanted, limit + 1, paging.after))
    page, following = found[:limit], None
    if len(found) > limit:
        url = request.url.include_query_params(cursor=encode_cursor(Position.of(page[-1])))
        following = f"{url.path}?{url.query}"
    # Not validated by FastAPI: our own code made it, and the other media types are not validated either.
    return JSONResponse(to_json(VerdictPage(verdicts=page, next=following)))
