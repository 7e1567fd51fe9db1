"""Submitting sources from the command line, and the options for it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from producer.cli.errors import UsageError
from producer.cli.installation import Installation, require_job
from producer.invalid_input import explain
from producer.sources.expansion import Sources
from producer.sources.known_versions import KnownVersions
from producer.sources.selection import Selection
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority, WebhookKind
from storage.blobs import Blobs
from storage.listed_versions import list_versions
from storage.storage_limits import StorageLimits
from storage.submission import EmptyJobError, Submission, UploadExpiredError
from storage.traces import set_up_traces
from storage.uploads import KeyInUseError, Upload

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH...",
        help="Files, folders, globs, .zip and .tar archives, bitcoin:block/HEIGHT, URIs (s3://…/, gs://…/ and az://…/ "
        "mean all objects below), or - for names on standard input.",
    ),
]
Name = Annotated[str | None, typer.Option(help="A name for the job.")]
Threshold = Annotated[
    float | None, typer.Option(help="Stego probability from which an image counts as stego, instead of the model's.")
]
PriorityOption = Annotated[Priority, typer.Option(help="Interactive jobs overtake bulk jobs.")]
Webhook = Annotated[str | None, typer.Option(metavar="URL", help="URL to notify (signed) when the job has ended.")]
Kind = Annotated[
    WebhookKind | None,
    typer.Option("--webhook-kind", help="stargate: a message for each image of a block, in Stargate's format."),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="In folders, buckets and archives, only matching names; may be repeated."),
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="No matching names; may be repeated.")]
Since = Annotated[
    str | None, typer.Option(metavar="JOB", help="From s3://, gs:// or az://, only what changed since an earlier job.")
]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Read uncompressed archive members from the archives, which must not be deleted."),
]
Manifests = Annotated[
    list[str] | None,
    typer.Option(
        "--manifest", metavar="FILE",
        help="A .parquet, .csv or .ndjson with a column of URIs or images, an S3 inventory, or - for standard input.",
    ),
]  # fmt: skip
Column = Annotated[str | None, typer.Option(metavar="NAME", help="The column of the manifest.")]
Null = Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end in NUL, as from find -print0.")]


def check_options(**options: Any) -> JobOptions:  # noqa: ANN401 - validated below
    """Return the options of a job; raises UsageError, which names the first invalid one."""
    if options.get("webhook_kind") and not options.get("webhook"):
        raise UsageError("--webhook-kind needs --webhook")
    try:
        return TypeAdapter(JobOptions).validate_python(options)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        reason = "is not an http:// or https:// URL" if name == "webhook" else f"is invalid: {explain(wrong)}"
        raise UsageError(f"--{name.replace('_', '-')} {options[name]!r} {reason}") from error


@dataclass(frozen=True, slots=True)
class Chosen:
    """How the sources are submitted: the selection of names, an earlier job to compare with, and input options."""

    selection: Selection
    since: str | None
    null: bool
    in_place: bool
    manifests: Sequence[str]
    column: str | None


def choose_names(include: list[str] | None, exclude: list[str] | None) -> Selection:
    """Return the selection of names by the options of a command."""
    return Selection(tuple(include or ()), tuple(exclude or ()))


def choose(
    paths: list[str] | None,
    names: Selection,
    *,
    since: str | None,
    in_place: bool,
    null: bool,
    manifest: list[str] | None,
    column: str | None,
) -> Chosen:
    """Return the choices by the options of a command; raises UsageError if they name no source."""
    if not paths and not manifest:
        raise UsageError("name files, folders or URIs to scan, or a --manifest; see --help")
    if column is not None and not manifest:
        raise UsageError(f"--column {column!r} needs --manifest")
    return Chosen(names, since, null, in_place, tuple(manifest or ()), column)


def submit_paths(current: Installation, paths: list[str] | None, options: JobOptions, chosen: Chosen) -> Submission:
    """Submit one job with everything that `paths` and manifests name; ends the command if nothing has changed.

    Raises SourceError, ArchiveTooLargeError, EmptyJobError, StorageFullError and UsageError.
    """
    set_up_traces("starlight")
    configured = current.settings
    limits = StorageLimits(None, configured.min_free_bytes)
    with Upload(current.engine, Blobs(configured.blobs()), configured.submitter, limits) as upload:
        since = None if chosen.since is None else require_job(current, chosen.since).id
        known = None if since is None else KnownVersions(list_versions(current.engine, since))
        sources = Sources(upload, configured, chosen.selection, known, in_place=chosen.in_place)
        stdin = sys.stdin.buffer
        references = chain(
            sources.from_arguments(paths or [], stdin, separator=b"\0" if chosen.null else b"\n"),
            *(sources.from_manifest(each, chosen.column, stdin) for each in chosen.manifests),
        )
        try:
            return upload.submit(references, options, chunk_size=configured.chunk_size, since=since)
        except EmptyJobError:
            if since is None:
                raise
            print(f"nothing has changed since the job {since}", file=sys.stderr)
            raise typer.Exit from None
        except KeyInUseError as error:
            key = options.idempotency_key
            raise UsageError(f"another command with the idempotency key {key!r} has not ended yet") from error
        except UploadExpiredError as error:
            raise UsageError("the names were read too slowly, and the upload has expired") from error
