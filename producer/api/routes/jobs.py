"""`/v1/jobs`: submitting, listing, showing and cancelling jobs."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
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
from producer.api.chain import use_chain
from producer.api.entrance import read_media_type
from producer.api.problems import ProblemError, reject_field
from producer.api.references import check_references
from producer.api.reports import report_job
from producer.api.service import Service, Shared
from producer.api.sources import check_sources
from producer.api.submission import open_upload, submit_for, submit_sources_for
from producer.api.uploads import (
    ARCHIVE_SUFFIXES,
    MULTIPART,
    open_form,
    read_references,
    save_body,
    store_image,
    unpack_upload,
)
from producer.chain.sources import expand_chain_source, read_chain_source
from producer.sources.errors import SourceError
from producer.sources.listing import list_prefix
from producer.sources.permitted import Permitted
from starlight_vocabulary.answers import Cancellation, JobPage, JobReport, Verification
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.job import SHORT_TEXT, JobOptions, JobSources
from storage.buckets import Location
from storage.jobs import ListedObject, Reference, Submission, cancel_job, list_jobs
from storage.keys import ApiKey
from storage.uploads import Upload
from storage.verification import SealError, verify_job

NDJSON = ExportFormat.NDJSON.media_type

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(JobOptions):
    """A job of references or sources, and its options."""

    references: Annotated[
        list[str] | None,
        FailFast(),
        Field(min_length=1, max_length=100_000, examples=[["https://example.com/1.png", "s3://bucket/2.png"]]),
    ] = None
    """https://…, file:///… in a folder of STARLIGHT_API_ROOTS, s3://…, gs://… or az://… in a bucket of the key.

    A reference that ends in a slash means all objects below it in the bucket; bitcoin:block/… and bitcoin:tx/… mean the
    images inscribed there. For more references, send NDJSON. Either this or `sources` is required."""
    sources: JobSources | None = None
    """Sources to be listed in the background: the job exists at once, and grows until everything is found."""


REQUEST = TypeAdapter(JobRequest)
OPTIONS = TypeAdapter(JobOptions)


IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Repeating the key returns the earlier job.", **SHORT_TEXT),
]
REQUEST_SCHEMA, OPTIONS_SCHEMA = describe_body(REQUEST), describe_body(OPTIONS)
BODY = {
    "required": True,
    "content": {
        JSON: {"schema": REQUEST_SCHEMA},
        MULTIPART: {
            "schema": {
                "type": "object",
                "description": "Up to 256 images, as file fields of any name, and the options as other fields.",
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
    kind = read_media_type(request)

    def complete(given: JobOptions) -> JobOptions:
        if given.webhook and service.settings.webhook_secret is None:
            raise reject_field("webhook", "webhooks must be signed, but STARLIGHT_WEBHOOK_SECRET is not set here")
        return replace(given, idempotency_key=options.idempotency_key or given.idempotency_key)

    async def submit_all(references: Iterable[Reference], given: JobOptions) -> Submission:
        return await run_in_threadpool(submit_for, service, upload, references, complete(given))

    async def submit_sources(sources: JobSources, given: JobOptions) -> Submission:
        await run_in_threadpool(check_sources, service, key, sources)
        return await run_in_threadpool(submit_sources_for, service, key, upload, sources, complete(given))

    def check(references: Iterator[str] | Sequence[str]) -> Iterator[Reference]:
        permitted = Permitted(service.settings.api_roots, key.may_name)
        return check_references(references, permitted, list_below, expand_chain)

    def expand_chain(reference: str) -> Iterator[str]:
        if len(read_chain_source(reference).heights) > 1:
            raise SourceError("a range of blocks is not a reference: submit it under `sources`")
        with use_chain(service, key.name):
            yield from expand_chain_source(reference, upload, service.settings)

    def list_below(location: Location) -> Iterator[ListedObject]:
        with service.listing.hold(key.name):
            yield from list_prefix(location)

    if kind == JSON:
        wanted = await run_in_threadpool(validate, REQUEST, await request.body(), "body")
        if wanted.references is not None and wanted.sources is None:
            return await submit_all(check(wanted.references), wanted)
        if wanted.sources is not None and wanted.references is None:
            return await submit_sources(wanted.sources, wanted)
        raise reject_field("body.references", "either this or `sources` is required")
    if kind == MULTIPART:
        async with open_form(request, upload) as form:
            images = (store_image(upload, service.settings, name, file) for name, file in form.images)
            return await submit_all(images, validate(OPTIONS, form.fields, "body"))
    if kind == NDJSON:
        async with save_body(request, upload, ".ndjson") as path:
            return await submit_all(check(read_references(path)), options)
    if kind in ARCHIVE_SUFFIXES:
        async with save_body(request, upload, ARCHIVE_SUFFIXES[kind]) as path:
            # Closed explicitly, so that the process that unpacks ends if storing fails.
            with (
                service.unpacking.hold(key.name),
                closing(unpack_upload(upload, service.settings, path)) as members,
            ):
                return await submit_all(members, options)
    known = ", ".join([JSON, MULTIPART, NDJSON, *ARCHIVE_SUFFIXES])
    raise ProblemError(415, f"the Content-Type {kind!r} is not one of {known}")


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
