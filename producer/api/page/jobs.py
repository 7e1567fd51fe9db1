"""Jobs on the page: searching, showing, and submitting dropped images."""

import uuid
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from producer.api.access import (
    Reading,
    SubmittingImages,
    VisibleJob,
    visible_submitter,
)
from producer.api.bodies import validate
from producer.api.job_bodies import OPTIONS
from producer.api.page.queries import drop_empty, read_query
from producer.api.page.rendering import PREFIX, redirect, render
from producer.api.problems import reject_field
from producer.api.reports import report_job
from producer.api.service import Shared
from producer.api.submission import open_upload, submit_for
from producer.api.uploads import open_form, store_image
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import NO_NUL
from starlight_vocabulary.words import JobState
from storage.failures import count_failures, list_retries
from storage.jobs import list_jobs
from storage.pauses import list_paused_jobs
from storage.verdicts import VerdictFilter
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


Searched = Annotated[JobSearch, Depends(read_query(JobSearch))]


@router.get("/jobs")
def show_jobs(request: Request, key: Reading, service: Shared, search: Searched) -> Response:
    """Show the newest matching jobs."""
    found = list_jobs(
        service.engine,
        limit=PAGE + 1,
        submitter=visible_submitter(key) or search.submitter or None,
        before=search.before,
        state=search.state,
        sought=search.text or None,
    )
    page, following = found[:PAGE], None
    if len(found) > PAGE:
        kept = drop_empty(search.model_dump(mode="json"))
        following = "?" + urlencode({**kept, "before": str(page[-1].id)})
    return render(
        request, "jobs.html", jobs=[report_job(job) for job in page], search=search, following=following,
        states=list(JobState), paused=list_paused_jobs(service.engine, [job.id for job in page]),
        formats=list(ExportFormat),
    )  # fmt: skip


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
        webhook=get_webhook(service.engine, job.id),
    )
