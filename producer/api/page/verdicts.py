"""Verdicts on the page: searching, downloading, and showing one with its details."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from sqlalchemy import Engine

from producer.api.access import Reading, VisibleJob, visible_submitter
from producer.api.filters import Model, Part, Sha256, Submitter, Time, Until, Words
from producer.api.named_jobs import require_named_job
from producer.api.named_models import require_known
from producer.api.named_submitters import choose_submitter
from producer.api.negotiation import stream_verdicts
from producer.api.page.queries import drop_empty, read_query
from producer.api.page.rendering import PREFIX, render
from producer.api.routes.verdicts import (
    VisibleVerdict,
    check_cursor,
    decode_cursor,
    encode_cursor,
    require_provenance,
)
from producer.api.service import Service, Shared
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import ErrorCode, Judgement, Method, Outcome
from storage.judgements import list_judgements
from storage.keys import ApiKey
from storage.models import list_labels
from storage.stored_images import list_stored
from storage.verdict_search import Position, VerdictFilter, find_previous, find_verdicts

# Verdicts per page, and verdicts on the same bytes that are shown with one.
PAGE: Final = 50
SAME_BYTES: Final = 50

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Cursor = Annotated[str, AfterValidator(check_cursor)]


def check_highest(highest: float | None, info: ValidationInfo) -> float | None:
    """Return the highest probability; raises ValueError if it is lower than the lowest, which is declared before."""
    lowest = info.data.get("min_probability")
    if highest is not None and lowest is not None and highest < lowest:
        raise ValueError(f"{highest:g} is lower than {lowest:g}, so nothing lies between: exchange them")
    return highest


class PageFilters(BaseModel):
    """Filters for verdicts."""

    model_config = ConfigDict(extra="forbid")

    outcome: Outcome | None = None
    method: Method | None = None
    min_probability: float | None = Field(None, ge=0, le=1)
    max_probability: Annotated[float | None, AfterValidator(check_highest)] = Field(None, ge=0, le=1)
    job: uuid.UUID | None = None
    submitter: Submitter | None = None
    since: Time | None = None
    until: Until | None = None
    sha256: Sha256 | None = None
    words: Words | None = None
    part: Part | None = None
    error_code: ErrorCode | None = None
    model: Model | None = None

    def build_filter(self, service: Service, key: ApiKey) -> VerdictFilter:
        """Return the filter, limited to what the key may see; a problem (422) if it names what does not exist."""
        require_named_job(service, key, "query.job", self.job)
        require_known(service.engine, "query.model", self.model)
        return VerdictFilter(
            job_id=self.job,
            submitter=choose_submitter(service.engine, key, "query.submitter", self.submitter),
            outcome=self.outcome,
            method=self.method,
            since=self.since,
            until=self.until,
            sha256=self.sha256,
            words=self.words,
            part=self.part,
            error_codes=[self.error_code] if self.error_code else None,
            min_probability=self.min_probability,
            max_probability=self.max_probability,
            model=self.model,
        )

    def write_query(self, **more: str) -> str:
        """Return the filters as a query string, in the order of the form."""
        chosen = self.model_dump(mode="json", include=set(PageFilters.model_fields))
        return urlencode(drop_empty({**chosen, **more}))


class PageSearch(PageFilters):
    """Filters, and the page to show: the one after the position `cursor`, or before the position `before`."""

    cursor: Cursor | None = None
    before: Cursor | None = None


@dataclass(frozen=True, slots=True)
class ShownVerdicts:
    """A page of verdicts, and the queries of the first, the previous and the following page, None if there is none."""

    verdicts: Sequence[Verdict]
    first: str | None
    previous: str | None
    following: str | None


class Download(PageFilters):
    """Filters, and the format of the download."""

    format: ExportFormat


@router.get("/verdicts")
def list_verdicts(
    request: Request, key: Reading, service: Shared, search: Annotated[PageSearch, Depends(read_query(PageSearch))]
) -> Response:
    """Show matching verdicts, newest first, or those of one job in the order of submission."""
    shown = read_page(service.engine, search, search.build_filter(service, key))
    return render(
        request,
        "verdicts.html",
        verdicts=shown.verdicts,
        stored=list_stored(service.engine, shown.verdicts),
        search=search,
        shown=shown,
        downloads={each: search.write_query(format=each) for each in ExportFormat},
        words={
            "outcome": list(Outcome),
            "method": list(Method),
            "error_code": list(ErrorCode),
            "model": list_labels(service.engine),
        },
    )


def read_page(engine: Engine, search: PageSearch, wanted: VerdictFilter) -> ShownVerdicts:
    """Return the page that a search asks for; before the first full page, that is the first page."""
    if search.before:
        found = find_previous(engine, wanted, PAGE + 1, decode_cursor(search.before))
        if len(found) > PAGE:
            return link_page(search, found[1:], has_previous=True, has_following=True)
    after = decode_cursor(search.cursor) if search.cursor else None
    found = list(find_verdicts(engine, wanted, PAGE + 1, after))
    return link_page(search, found[:PAGE], has_previous=after is not None, has_following=len(found) > PAGE)


def link_page(
    search: PageSearch, verdicts: Sequence[Verdict], *, has_previous: bool, has_following: bool
) -> ShownVerdicts:
    """Return a page of verdicts with the queries of its neighbours."""
    first = search.write_query() if has_previous else None
    if not verdicts:
        return ShownVerdicts(verdicts, first, first, None)
    start, end = (encode_cursor(Position.of(each)) for each in (verdicts[0], verdicts[-1]))
    previous = search.write_query(before=start) if has_previous else None
    return ShownVerdicts(verdicts, first, previous, search.write_query(cursor=end) if has_following else None)


@router.get("/verdicts/download")
def download_verdicts(
    key: Reading, service: Shared, download: Annotated[Download, Depends(read_query(Download))]
) -> Response:
    """Return all matching verdicts; CSV is safe for spreadsheets."""
    found = find_verdicts(service.engine, download.build_filter(service, key))
    return stream_verdicts(found, download.format.media_type, spreadsheet=True)


@router.get("/jobs/{job_id}/verdicts/{ordinal}")
def show_verdict(request: Request, key: Reading, job: VisibleJob, verdict: VisibleVerdict, service: Shared) -> Response:
    """Show one verdict."""
    same: list[Verdict] = []
    if verdict.sha256:
        wanted = VerdictFilter(sha256=verdict.sha256, submitter=visible_submitter(key))
        same = list(find_verdicts(service.engine, wanted, SAME_BYTES))
    return render(
        request,
        "verdict.html",
        job=job,
        verdict=verdict,
        is_first=verdict.ordinal == 0,
        is_last=verdict.ordinal + 1 == job.total,
        is_stored=bool(list_stored(service.engine, [verdict])),
        same=[each for each in same if (each.job_id, each.ordinal) != (verdict.job_id, verdict.ordinal)],
        provenance=require_provenance(service, verdict),
        judgements=list_judgements(service.engine, verdict.job_id, verdict.ordinal),
        words=list(Judgement),
    )
