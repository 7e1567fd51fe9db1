"""The bodies of `POST /v1/jobs`: what each kind contains, by `Content-Type`, and their part of the OpenAPI document."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Request
from pydantic import FailFast, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from producer.api.bodies import describe_body, validate
from producer.api.chain import use_chain
from producer.api.entrance import read_media_type
from producer.api.problems import ProblemError, reject_field
from producer.api.references import check_references
from producer.api.service import Service
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
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.job import JobOptions, JobSources
from storage.buckets import Location
from storage.keys import ApiKey
from storage.submission import ListedObject, Reference
from storage.uploads import Upload

NDJSON = ExportFormat.NDJSON.media_type


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


@dataclass(frozen=True, slots=True)
class JobBody:
    """What a body asks for: sources, or else references, which are read once, and options."""

    options: JobOptions
    references: Iterable[Reference] = ()
    sources: JobSources | None = None


@asynccontextmanager
async def open_job_body(
    request: Request, key: ApiKey, service: Service, upload: Upload, options: JobOptions
) -> AsyncIterator[JobBody]:
    """Yield what the body asks for; its files are deleted after the block.

    `options` are those of bodies without options of their own. Raises a problem: 415 for an unknown media type, 400 or
    422 for an invalid body. Reading the references raises what `check_references` and `unpack_upload` raise.
    """
    kind = read_media_type(request)
    if kind == JSON:
        wanted = await run_in_threadpool(validate, REQUEST, await request.body(), "body")
        if (wanted.references is None) == (wanted.sources is None):
            raise reject_field("body.references", "either this or `sources` is required")
        _reject_ignored(request, options, wanted)
        yield JobBody(wanted, _check(wanted.references or (), key, service, upload), wanted.sources)
    elif kind == MULTIPART:
        async with open_form(request, upload) as form:
            images = (store_image(upload, service.settings, name, file) for name, file in form.images)
            given = validate(OPTIONS, form.fields, "body")
            _reject_ignored(request, options, given)
            yield JobBody(given, images)
    elif kind == NDJSON:
        async with save_body(request, upload, ".ndjson") as path:
            yield JobBody(options, _check(read_references(path), key, service, upload))
    elif kind in ARCHIVE_SUFFIXES:
        async with save_body(request, upload, ARCHIVE_SUFFIXES[kind]) as path:
            # Closed explicitly, so that the process that unpacks ends if storing fails.
            with (
                service.unpacking.hold(key.name),
                closing(unpack_upload(upload, service.settings, path)) as members,
            ):
                yield JobBody(options, members)
    else:
        known = ", ".join([JSON, MULTIPART, NDJSON, *ARCHIVE_SUFFIXES])
        raise ProblemError(415, f"the Content-Type {kind!r} is not one of {known}")


def _reject_ignored(request: Request, options: JobOptions, given: JobOptions) -> None:
    """Raise a problem if the query has an option that the body, which has options of its own, does not repeat."""
    for name in request.query_params:
        if name != "idempotency_key" and getattr(options, name) != getattr(given, name):
            raise reject_field(f"query.{name}", "send it as a member of the JSON document, or a field of the form")


def _check(
    references: Iterator[str] | Sequence[str], key: ApiKey, service: Service, upload: Upload
) -> Iterator[Reference]:
    permitted = Permitted(service.settings.api_roots, key.may_name)
    list_below = partial(_list_below, key, service)
    expand_chain = partial(_expand_chain, key, service, upload)
    return check_references(references, permitted, list_below, expand_chain)


def _list_below(key: ApiKey, service: Service, location: Location) -> Iterator[ListedObject]:
    with service.listing.hold(key.name):
        yield from list_prefix(location)


def _expand_chain(key: ApiKey, service: Service, upload: Upload, reference: str) -> Iterator[str]:
    if len(read_chain_source(reference).heights) > 1:
        raise SourceError("a range of blocks is not a reference: submit it under `sources`")
    with use_chain(service, key.name):
        yield from expand_chain_source(reference, upload, service.settings)
