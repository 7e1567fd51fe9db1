"""`/v1/jobs`: submitting, listing, looking at and cancelling jobs."""

import uuid
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool

from producer.api.access import Reading, Submitting, VisibleJob, check_waiting, visible_job, whose
from producer.api.problems import ProblemError, wrong_field
from producer.api.references import checked_references
from producer.api.reports import Cancelled, Job, Jobs, Priority
from producer.api.service import Service, Shared
from producer.api.uploads import (
    ARCHIVES,
    MULTIPART,
    NDJSON,
    body_on_disk,
    form_of,
    limited,
    listed,
    store_image,
    unpacked,
)
from producer.sources.archives import ArchiveTooLargeError
from storage.jobs import EmptyJobError, JobStatus, cancel_job, get_job, list_jobs, submit_job
from storage.keys import ApiKey

Model = TypeVar("Model", bound=BaseModel)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

# PostgreSQL holds no NUL.
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
MAX_JSON_BYTES = 64 * 2**20


class JobOptions(BaseModel):
    """What a job may be given beside its images."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = Field(None, description="A name for people.", examples=["november"])
    priority: Priority = Field("bulk", description="Interactive jobs overtake bulk jobs.")
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Stego probability that counts as stego, instead of the model's own."
    )
    webhook: str | None = Field(
        None,
        pattern=r"^https?://[!-~]+$",
        max_length=2000,
        description="Told when the job has ended, signed after Standard Webhooks.",
        examples=["https://example.com/starlight"],
    )


class JobRequest(JobOptions):
    """A job of references."""

    references: list[str] = Field(
        min_length=1,
        max_length=100_000,
        description="https://…, s3://…, or file:///… under the folders of STARLIGHT_API_ROOTS. More: send NDJSON.",
        examples=[["https://example.com/1.png", "s3://bucket/2.png"]],
    )


IdempotencyKey = Annotated[
    Text | None, Header(alias="Idempotency-Key", description="The same key again answers the earlier job.")
]
OPTIONS: dict[str, Any] = JobOptions.model_json_schema()
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": JobRequest.model_json_schema()},
        MULTIPART: {
            "schema": {
                "type": "object",
                "description": "Images under any field name with a file name, up to 256, and the options as fields.",
                "properties": {
                    "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    **OPTIONS["properties"],
                },
                "required": ["images"],
            }
        },
        NDJSON: {
            "schema": {"type": "string", "examples": ['"https://example.com/1.png"\n{"uri": "s3://bucket/2.png"}\n']}
        },
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in ARCHIVES},
    },
}


@router.post("", status_code=202, openapi_extra={"requestBody": BODY})
async def submit(
    request: Request,
    response: Response,
    key: Submitting,
    service: Shared,
    options: Annotated[JobOptions, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a job: references as JSON or NDJSON, a form with images, or one archive, by its `Content-Type`.

    Options stand in the JSON document or form, for other bodies in the query. Answers before anything is scanned.
    """
    await run_in_threadpool(check_waiting, service, key.name)
    limit = service.settings.max_upload_bytes
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def store(references: Iterable[str], options: JobOptions) -> JobStatus:
        return await run_in_threadpool(_store, service, key, references, options, idempotency_key)

    if kind == "application/json":
        body = b"".join([piece async for piece in limited(request, min(limit, MAX_JSON_BYTES))])
        wanted = _validated(JobRequest, body)
        job = await store(checked_references(wanted.references, service.settings.api_roots), wanted)
    elif kind == MULTIPART:
        async with form_of(request, limit) as form:
            wanted_of_form = _validated(JobOptions, form.fields)
            images = (store_image(service.blobs, service.settings, name, file) for name, file in form.images)
            job = await store(images, wanted_of_form)
    elif kind == NDJSON:
        async with body_on_disk(request, limit, ".ndjson") as path:
            job = await store(checked_references(listed(path), service.settings.api_roots), options)
    elif kind in ARCHIVES:
        async with body_on_disk(request, limit, ARCHIVES[kind]) as path:
            job = await store(unpacked(service.blobs, service.settings, path), options)
    else:
        taken = ", ".join(["application/json", MULTIPART, NDJSON, *ARCHIVES])
        raise ProblemError(415, f"the Content-Type {kind!r} is none of {taken}")
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return Job.of(job)


def _validated(model: type[Model], value: bytes | dict[str, str]) -> Model:
    try:
        return model.model_validate_json(value) if isinstance(value, bytes) else model.model_validate(value)
    except ValidationError as error:
        wrong = [
            {**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(wrong) from error


def _store(
    service: Service, key: ApiKey, references: Iterable[str], options: JobOptions, idempotency_key: str | None
) -> JobStatus:
    if options.webhook and service.settings.webhook_secret is None:
        raise wrong_field("webhook", "webhooks are signed, and this server has no STARLIGHT_WEBHOOK_SECRET")
    try:
        submission = submit_job(
            service.engine,
            references,
            submitter=key.name,
            name=options.name,
            idempotency_key=idempotency_key,
            priority=options.priority,
            threshold=options.threshold,
            webhook=options.webhook,
            chunk_size=service.settings.chunk_size,
        )
    except EmptyJobError as error:
        raise wrong_field("body", str(error)) from error
    except ArchiveTooLargeError as error:
        raise ProblemError(413, str(error)) from error
    job = get_job(service.engine, submission.job_id)
    assert job is not None, "it was stored just now, and jobs are not deleted"
    return job


@router.get("")
def listing(
    key: Reading,
    service: Shared,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[uuid.UUID | None, Query(description="Jobs that are older than this one.")] = None,
) -> Jobs:
    """List the newest jobs: one's own, or all for an admin."""
    found = list_jobs(service.engine, limit=limit, submitter=whose(key), before=before)
    following = f"/v1/jobs?limit={limit}&before={found[-1].id}" if len(found) == limit else None
    return Jobs(jobs=[Job.of(each) for each in found], next=following)


@router.get("/{job_id}")
def job(job: VisibleJob) -> Job:
    """Say how far a job is."""
    return Job.of(job)


@router.delete("/{job_id}")
def cancel(job_id: uuid.UUID, key: Submitting, service: Shared) -> Cancelled:
    """Cancel a job: images without a verdict get the error `cancelled`."""
    visible_job(service, key, job_id)
    cancelled = cancel_job(service.engine, job_id) or 0
    return Cancelled(cancelled=cancelled, job=Job.of(visible_job(service, key, job_id)))
