"""`/v1/jobs`: submitting, listing, looking at and cancelling jobs."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FailFast, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from producer.api.access import (
    Reading,
    Submitting,
    SubmittingImages,
    VisibleJob,
    require_visible_job,
    visible_submitter,
)
from producer.api.bodies import describe_body, validate
from producer.api.entrance import read_media_type
from producer.api.problems import ProblemError, reject_field
from producer.api.references import check_references
from producer.api.reports import report_job
from producer.api.service import Service, Shared
from producer.api.submission import submit_for
from producer.api.uploads import (
    ARCHIVE_SUFFIXES,
    MULTIPART,
    open_form,
    read_references,
    save_body,
    store_image,
    unpack_upload,
)
from producer.sources.archives import ArchiveTooLargeError
from starlight_vocabulary.answers import Cancellation, JobPage, JobReport
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.job import SHORT_TEXT, Job, JobOptions
from storage.jobs import EmptyJobError, cancel_job, get_job, list_jobs
from storage.keys import ApiKey

NDJSON = ExportFormat.NDJSON.media_type

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(JobOptions):
    """A job of references."""

    references: Annotated[
        list[str],
        FailFast(),
        Field(min_length=1, max_length=100_000, examples=[["https://example.com/1.png", "s3://bucket/2.png"]]),
    ]
    """https://…, s3://… in a bucket of the key, file:///… in a folder of STARLIGHT_API_ROOTS. More: send NDJSON."""


REQUEST = TypeAdapter(JobRequest)
OPTIONS = TypeAdapter(JobOptions)


IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key again answers the earlier job.", **SHORT_TEXT),
]
REQUEST_SCHEMA, OPTIONS_SCHEMA = describe_body(REQUEST), describe_body(OPTIONS)
BODY = {
    "required": True,
    "content": {
        JSON: {"schema": REQUEST_SCHEMA},
        MULTIPART: {
            "schema": {
                "type": "object",
                "description": "Images under any field name with a file name, up to 256, and the options as fields.",
                "properties": {
                    "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    **OPTIONS_SCHEMA["properties"],
                },
                "required": ["images"],
            }
        },
        NDJSON: {
            "schema": {"type": "string", "examples": ['"https://example.com/1.png"\n{"uri": "s3://bucket/2.png"}\n']}
        },
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in ARCHIVE_SUFFIXES},
    },
}


PARAMETERS = [
    {"in": "query", "name": name, "required": False, "schema": schema}
    for name, schema in OPTIONS_SCHEMA["properties"].items()
]


def read_query_options(request: Request) -> JobOptions:
    """Return the options of a query."""
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

    Options stand in the JSON document or form, for other bodies in the query. Answers before anything is scanned.
    """
    kind = read_media_type(request)

    async def store(references: Iterable[str], options: JobOptions) -> Job:
        if idempotency_key is not None:
            options = replace(options, idempotency_key=idempotency_key)
        return await run_in_threadpool(_store, service, key, references, options)

    def check(references: Iterator[str] | Sequence[str]) -> Iterator[str]:
        return check_references(references, service.settings.api_roots, key.may_name)

    if kind == JSON:
        wanted = await run_in_threadpool(validate, REQUEST, await request.body(), "body")
        job = await store(check(wanted.references), wanted)
    elif kind == MULTIPART:
        async with open_form(request) as form:
            options = validate(OPTIONS, form.fields, "body")
            images = (store_image(service.blobs, service.settings, name, file) for name, file in form.images)
            job = await store(images, options)
    elif kind == NDJSON:
        async with save_body(request, ".ndjson") as path:
            job = await store(check(read_references(path)), options)
    elif kind in ARCHIVE_SUFFIXES:
        async with save_body(request, ARCHIVE_SUFFIXES[kind]) as path:
            job = await store(unpack_upload(service.blobs, service.settings, path), options)
    else:
        known = ", ".join([JSON, MULTIPART, NDJSON, *ARCHIVE_SUFFIXES])
        raise ProblemError(415, f"the Content-Type {kind!r} is none of {known}")
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return report_job(job)


def _store(service: Service, key: ApiKey, references: Iterable[str], options: JobOptions) -> Job:
    if options.webhook and service.settings.webhook_secret is None:
        raise reject_field("webhook", "webhooks are signed, and this server has no STARLIGHT_WEBHOOK_SECRET")
    try:
        submission = submit_for(service, key, references, options)
    except EmptyJobError as error:
        raise reject_field("body", str(error)) from error
    except ArchiveTooLargeError as error:
        raise ProblemError(413, str(error)) from error
    job = get_job(service.engine, submission.job_id)
    assert job is not None, "it was stored just now, and jobs are not deleted"
    return job


@router.get("")
def show_jobs(
    key: Reading,
    service: Shared,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[uuid.UUID | None, Query(description="Jobs that are older than this one.")] = None,
) -> JobPage:
    """List the newest jobs: one's own, or all for an admin."""
    found = list_jobs(service.engine, limit=limit, submitter=visible_submitter(key), before=before)
    following = f"/v1/jobs?limit={limit}&before={found[-1].id}" if len(found) == limit else None
    return JobPage(jobs=[report_job(each) for each in found], next=following)


@router.get("/{job_id}")
def show_job(job: VisibleJob) -> JobReport:
    """Say how far a job is."""
    return report_job(job)


@router.delete("/{job_id}")
def cancel(job_id: uuid.UUID, key: Submitting, service: Shared) -> Cancellation:
    """Cancel a job: images without a verdict get the error `cancelled`."""
    require_visible_job(service, key, job_id)
    cancelled = cancel_job(service.engine, job_id) or 0
    return Cancellation(cancelled=cancelled, job=report_job(require_visible_job(service, key, job_id)))
