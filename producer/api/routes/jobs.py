"""`/v1/jobs`: submitting, listing, showing and cancelling jobs."""

import uuid
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from producer.api.access import (
    Reading,
    Submitting,
    SubmittingImages,
    VisibleJob,
    require_visible_job,
    visible_submitter,
)
from producer.api.bodies import validate
from producer.api.job_bodies import BODY, OPTIONS, PARAMETERS, open_job_body
from producer.api.problems import ProblemError, reject_field
from producer.api.reports import report_job
from producer.api.service import Service, Shared
from producer.api.sources import check_sources
from producer.api.submission import open_upload, submit_for, submit_sources_for
from starlight_vocabulary.answers import Cancellation, JobPage, JobReport, Verification
from starlight_vocabulary.job import SHORT_TEXT, JobOptions
from storage.jobs import cancel_job, list_jobs
from storage.keys import ApiKey
from storage.submission import Submission
from storage.uploads import Upload
from storage.verification import SealError, verify_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Repeating the key returns the earlier job.", **SHORT_TEXT),
]


def read_query_options(request: Request) -> JobOptions:
    """Return the options in the query string."""
    return validate(OPTIONS, dict(request.query_params), "query")


@router.post("", status_code=202, openapi_extra={"requestBody": BODY, "parameters": PARAMETERS})
async def submit(
    request: Request,
    response: Response,
    key: SubmittingImages,
    service: Shared,
    options: Annotated[JobOptions, Depends(read_query_options)],
    idempotency_key: IdempotencyKey = None,
) -> JobReport:
    """Submit a job: references as JSON or NDJSON, a form with images, or one archive, by its `Content-Type`.

    Options are members of the JSON document or fields of the form; for other bodies they are in the query. The response
    comes before anything is scanned, and before `sources` are listed.
    """
    async with open_upload(service, key) as upload:
        options = replace(options, idempotency_key=idempotency_key or options.idempotency_key)
        submission = None
        if options.idempotency_key is not None:
            submission = await run_in_threadpool(upload.take_key, options.idempotency_key)
        if submission is None:
            submission = await _submit_body(request, key, service, upload, options)
    job = await run_in_threadpool(require_visible_job, service, key, submission.job_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return report_job(job)


async def _submit_body(
    request: Request, key: ApiKey, service: Service, upload: Upload, options: JobOptions
) -> Submission:
    async with open_job_body(request, key, service, upload, options) as body:
        if body.sources is not None:
            await run_in_threadpool(check_sources, service, key, body.sources)
        if body.options.webhook and service.settings.webhook_secret is None:
            raise reject_field("webhook", "webhooks must be signed, but STARLIGHT_WEBHOOK_SECRET is not set here")
        wanted = replace(body.options, idempotency_key=options.idempotency_key or body.options.idempotency_key)
        if body.sources is not None:
            return await run_in_threadpool(submit_sources_for, service, key, upload, body.sources, wanted)
        return await run_in_threadpool(submit_for, service, upload, body.references, wanted)


@router.get("")
def show_jobs(
    key: Reading,
    service: Shared,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[uuid.UUID | None, Query(description="Only jobs that are older than this one.")] = None,
    only_open: Annotated[bool, Query(description="Only jobs that have not ended.")] = False,
) -> JobPage:
    """List the newest jobs: the key's own, or all for an admin."""
    found = list_jobs(service.engine, limit=limit, submitter=visible_submitter(key), before=before, only_open=only_open)
    narrowed = "&only_open=true" if only_open else ""
    following = f"/v1/jobs?limit={limit}{narrowed}&before={found[-1].id}" if len(found) == limit else None
    return JobPage(jobs=[report_job(each) for each in found], next=following)


@router.get("/{job_id}")
def show_job(job: VisibleJob) -> JobReport:
    """Return the state of a job."""
    return report_job(job)


@router.get("/{job_id}/verification")
def verify(job: VisibleJob, service: Shared) -> Verification:
    """Compare the verdicts of an ended job with its seal, the digest taken when it had ended."""
    with service.verifying.hold():
        try:
            return verify_job(service.engine, job.id)
        except SealError as error:
            raise ProblemError(409, str(error)) from error


@router.delete("/{job_id}")
def cancel(job_id: uuid.UUID, key: Submitting, service: Shared) -> Cancellation:
    """Cancel a job: images without a verdict get the error `cancelled`."""
    require_visible_job(service, key, job_id)
    cancelled = cancel_job(service.engine, job_id) or 0
    return Cancellation(cancelled=cancelled, job=report_job(require_visible_job(service, key, job_id)))
