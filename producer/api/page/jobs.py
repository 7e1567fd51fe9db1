"""Jobs on the page: searching, showing, and submitting dropped images."""

import uuid
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from producer.api.access import (
    Reading,
    SubmittingImages,
    VisibleJob,
)
from producer.api.bodies import validate
from producer.api.job_bodies import OPTIONS
from producer.api.named_submitters import choose_submitter
from producer.api.page.queries import drop_empty, read_query
from producer.api.page.rendering import PREFIX, redirect, render
from producer.api.problems import reject_field
from producer.api.reports import report_job
from producer.api.service import Shared
from producer.api.submission import open_upload, submit_for
from producer.api.uploads import open_form, store_image
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import NO_NUL, Job
from starlight_vocabulary.words import JobState
from storage.failures import count_failures, list_retries
from storage.jobs import list_jobs
from storage.pauses import list_paused_jobs
from storage.rescans import list_rescans
from storage.verdict_search import VerdictFilter
from storage.webhooks import get_webhook

# Jobs per page.
PAGE: Final = 50
FIELDS: Final = ("name", "priority", "threshold")

router = APIRouter(prefix=PREFIX, include_in_schema=False)


class JobSearch(BaseModel):
    """Filters for jobs."""

    text: str | None = Field(None, max_length=200, pattern=NO_NUL)
    state: JobState | None = None
    submitter: str | None = Field(None, max_length=200, pattern=NO_NUL)
    before: uuid.UUID | None = None
    after: uuid.UUID | None = None

    def write_query(self, **more: str) -> str:
        """Return the filters without the page as a query string."""
        chosen = self.model_dump(mode="json", exclude={"before", "after"})
        return urlencode(drop_empty({**chosen, **more}))


Searched = Annotated[JobSearch, Depends(read_query(JobSearch))]


@router.get("/jobs")
def show_jobs(request: Request, key: Reading, service: Shared, search: Searched) -> Response:
    """Show the newest matching jobs, or the page before or after a job."""
    submitter = choose_submitter(service.engine, key, "query.submitter", search.submitter)
    page, has_newer, has_older = find_page(service.engine, search, submitter)
    return render(
        request,
        "jobs.html",
        jobs=[report_job(job) for job in page],
        search=search,
        first=search.write_query(),
        newer=search.write_query(after=str(page[0].id)) if has_newer and page else None,
        older=search.write_query(before=str(page[-1].id)) if has_older else None,
        is_first=not has_newer,
        states=list(JobState),
        paused=list_paused_jobs(service.engine, [job.id for job in page]),
        formats=list(ExportFormat),
    )


def find_page(engine: Engine, search: JobSearch, submitter: str | None) -> tuple[list[Job], bool, bool]:
    """Return the jobs of the page that is searched for, and whether there are newer and older ones.

    After the last full page of newer jobs, that is the first page.
    """
    find = partial(
        list_jobs,
        engine,
        limit=PAGE + 1,
        submitter=submitter,
        state=search.state,
        sought=search.text or None,
    )
    if search.after:
        found = find(after=search.after)
        if len(found) > PAGE:
            return found[1:], True, True
    found = find(before=search.before)
    return found[:PAGE], search.before is not None, len(found) > PAGE


@router.post("/jobs")
async def submit_images(request: Request, key: SubmittingImages, service: Shared) -> Response:
    """Submit the images of a form as a job."""
    async with open_upload(service, key) as upload, open_form(request, upload) as form:
        given = drop_empty({name: form.fields.get(name) for name in FIELDS})
        options = validate(OPTIONS, given, "body")
        # If no file was chosen, browsers send an empty one without a name.
        chosen = [(name, file) for name, file in form.images if file.filename]
        if not chosen:
            raise reject_field("images", "choose one image or more")
        images = (store_image(upload, service.settings, name, file) for name, file in chosen)
        submission = await run_in_threadpool(submit_for, service, upload, images, options)
    return redirect(f"{PREFIX}/jobs/{submission.job_id}")


@router.get("/jobs/{job_id}")
def show_job(request: Request, job: VisibleJob, service: Shared) -> Response:
    """Show one job."""
    failures = count_failures(service.engine, VerdictFilter(job_id=job.id)) if job.error else {}
    return render(
        request,
        "job.html",
        job=report_job(job),
        is_paused=bool(list_paused_jobs(service.engine, [job.id])),
        formats=list(ExportFormat),
        failures=failures,
        retries=list_retries(service.engine, job.id),
        rescans=list_rescans(service.engine, job.id),
        webhook=get_webhook(service.engine, job.id),
    )
