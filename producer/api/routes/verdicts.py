"""Verdicts of a job, of any jobs, and on the bytes of one image."""

import base64
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from producer.api.access import Reading, VisibleJob, whose
from producer.api.negotiation import JSON, STREAMED, negotiated, streamed
from producer.api.service import Shared
from storage.error_codes import ErrorCode
from storage.verdicts import Position, VerdictFilter, find_verdicts

# Verdicts of a page, unless it is asked for otherwise, and at most.
USUAL, MOST = 100, 1000
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$", description="Of the file, in hex.")]

router = APIRouter(prefix="/v1", tags=["verdicts"])


Outcome = Literal["clean", "stego", "error"]
Method = Literal["alpha", "palette", "lsb.rgb", "exif", "raw"]


class Verdict(BaseModel):
    """What became of one image. Without a score, what rests on it is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "019a1b2c-3d4e-7f60-8a9b-0c1d2e3f4a5b", "ordinal": 7,
                    "uri": "s3://evidence/2026/cat.png", "sha256": "9f" * 32, "outcome": "stego", "is_stego": True,
                    "stego_probability": 0.9987, "confidence": 0.9987, "prediction": "stego", "stego_type": "alpha",
                    "bit_order": "lsb-first", "extracted_message": "meet me at noon", "error_code": None,
                    "error_detail": None, "model": f"starlight-v4-1.2.0@sha256:{'5c' * 32}", "threshold": 0.85,
                    "width": 640, "height": 480, "format": "PNG", "size_bytes": 412345, "reused": False,
                    "scanned_at": "2026-06-01T12:00:00.123456+00:00",
                }
            ]
        }
    )  # fmt: skip

    job_id: uuid.UUID
    ordinal: int = Field(description="Which of the job's references, counted from 0.")
    uri: str
    sha256: Sha256 | None
    outcome: Outcome
    is_stego: bool | None
    stego_probability: float | None
    confidence: float | None
    prediction: Literal["clean", "stego"] | None
    stego_type: Method | None
    bit_order: str | None = Field(description="`lsb-first`, `msb-first` or `none`.")
    extracted_message: str | None = Field(description="Evidence, not part of the decision: whatever a stranger hid.")
    error_code: str | None = Field(description=f"Why there is no score: one of {', '.join(ErrorCode)}.")
    error_detail: str | None
    model: str | None = Field(description="Name, version and SHA-256 of the weights that decided.")
    threshold: float | None = Field(description="From which probability on it is stego.")
    width: int | None
    height: int | None
    format: str | None
    size_bytes: int | None
    reused: bool = Field(description="The same model had judged the same bytes before.")
    scanned_at: str = Field(json_schema_extra={"format": "date-time"})


class VerdictPage(BaseModel):
    """Some verdicts, and the address of those that follow, null on the last page."""

    verdicts: list[Verdict]
    next: str | None = Field(examples=["/v1/verdicts?outcome=stego&limit=100&cursor=MjAyNi0wNi0wMQ"])


def encoded(position: Position) -> str:
    """Return the position as a cursor."""
    text = f"{position.scanned_at.isoformat()} {position.job_id} {position.ordinal}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def decoded(cursor: str) -> Position:
    """Return the position; raises ValueError where this is no cursor."""
    try:
        scanned_at, job_id, ordinal = base64.urlsafe_b64decode(cursor).decode("ascii").split(" ")
        position = Position(datetime.fromisoformat(scanned_at), uuid.UUID(job_id), int(ordinal))
        known = encoded(position) == cursor
    except ValueError:
        known = False
    if not known:
        raise ValueError("this is no cursor: follow the `next` of a page")
    return position


def checked(cursor: str) -> str:
    """Return the cursor; raises ValueError where it is none."""
    decoded(cursor)
    return cursor


def zoned(time: datetime) -> datetime:
    """Return the time with its zone, UTC where it names none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Time = Annotated[datetime, AfterValidator(zoned)]


class Paging(BaseModel):
    """Which part of what was found to answer with."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(None, ge=1, description=f"At most so many; a page of JSON has {USUAL}, at most {MOST}.")
    cursor: Annotated[str, AfterValidator(checked)] | None = Field(None, description="From the `next` of a page.")

    @property
    def after(self) -> Position | None:
        """The verdict behind which to go on."""
        return decoded(self.cursor) if self.cursor else None


class JobSearch(Paging):
    """Which verdicts of a job to find."""

    outcome: Outcome | None = None
    method: Method | None = None
    since: Time | None = Field(None, description="From this time on, in UTC where it has no zone.")
    until: Time | None = Field(None, description="Before this time.")
    sha256: Sha256 | None = None
    error_code: list[ErrorCode] = Field([], description="May be repeated.")

    def wanted(self, job_id: uuid.UUID | None, submitter: str | None) -> VerdictFilter:
        """Return the filter for this job or all, of this submitter or all."""
        return VerdictFilter(
            job_id=job_id,
            submitter=submitter,
            outcome=self.outcome,
            method=self.method,
            since=self.since,
            until=self.until,
            sha256=self.sha256,
            error_codes=tuple(self.error_code) or None,
        )


class Search(JobSearch):
    """Which verdicts to find."""

    job_id: uuid.UUID | None = None


Accept = Annotated[str, Header(description=f"One of {', '.join((JSON, *STREAMED))}.")]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page as JSON, or everything in one of the other types.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in STREAMED},
    },
}


@router.get("/jobs/{job_id}/verdicts", response_model=VerdictPage, responses=ANSWERS)
def verdicts_of_job(
    job: VisibleJob, service: Shared, request: Request, search: Annotated[JobSearch, Query()], accept: Accept = "*/*"
) -> dict[str, Any] | Response:
    """Return the verdicts of a job that there are so far, in the order of submission.

    Pages of JSON, or all of them as NDJSON, CSV or Parquet, whichever the `Accept` header prefers.
    """
    return answer(service.engine, request, search.wanted(job.id, None), search, accept)


@router.get("/verdicts", response_model=VerdictPage, responses=ANSWERS)
def verdicts(
    key: Reading, service: Shared, request: Request, search: Annotated[Search, Query()], accept: Accept = "*/*"
) -> dict[str, Any] | Response:
    """Return verdicts, newest first; those of one job in the order of submission. Admins see those of all jobs."""
    wanted = search.wanted(search.job_id, whose(key))
    return answer(service.engine, request, wanted, search, accept)


@router.get("/images/{sha256}", response_model=VerdictPage, responses=ANSWERS)
def verdicts_on_image(
    key: Reading,
    service: Shared,
    request: Request,
    sha256: Annotated[Sha256, Path()],
    paging: Annotated[Paging, Query()],
    accept: Accept = "*/*",
) -> dict[str, Any] | Response:
    """Return every verdict on a file with these bytes, newest first. Admins see those of all jobs."""
    return answer(service.engine, request, VerdictFilter(sha256=sha256, submitter=whose(key)), paging, accept)


def answer(
    engine: Engine, request: Request, wanted: VerdictFilter, paging: Paging, accept: str
) -> dict[str, Any] | Response:
    """Return a page, or everything in another type."""
    kind = negotiated(accept)
    if kind != JSON:
        return streamed(find_verdicts(engine, wanted, paging.limit, paging.after), kind)
    limit = min(paging.limit or USUAL, MOST)
    found = list(find_verdicts(engine, wanted, limit + 1, paging.after))
    page, following = found[:limit], None
    if len(found) > limit:
        url = request.url.include_query_params(cursor=encoded(Position.of(page[-1])))
        following = f"{url.path}?{url.query}"
    return {"verdicts": page, "next": following}
