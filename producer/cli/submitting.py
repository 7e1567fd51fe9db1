"""Submitting what a person names on the command line."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from producer.cli.session import Session, UsageError, require_job
from producer.sources.expansion import Sources
from producer.sources.known_versions import KnownVersions
from producer.sources.selection import Selection
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority, WebhookKind
from storage.blobs import Blobs
from storage.jobs import EmptyJobError, Submission, UploadExpiredError
from storage.listed_versions import list_versions
from storage.traces import set_up_traces
from storage.uploads import KeyInUseError, StorageLimits, Upload

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH...",
        help="Files, folders, globs, .zip and .tar archives, bitcoin:block/HEIGHT, URIs, where s3://…/, gs://…/ and "
        "az://…/ stand for all below, or - for names on standard input.",
    ),
]
Name = Annotated[str | None, typer.Option(help="A name for people.")]
Threshold = Annotated[
    float | None, typer.Option(help="Stego probability that counts as stego, instead of the model's own.")
]
PriorityOption = Annotated[Priority, typer.Option(help="Interactive jobs overtake bulk jobs.")]
Webhook = Annotated[str | None, typer.Option(metavar="URL", help="Told, with a signature, when the job has ended.")]
Kind = Annotated[
    WebhookKind | None,
    typer.Option("--webhook-kind", help="stargate: told of each image of a block, as Stargate takes it."),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Of folders, buckets and archives, only names like this; may be repeated."),
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="No names like this; may be repeated.")]
Since = Annotated[
    str | None, typer.Option(metavar="JOB", help="Of s3://, gs:// or az://, what changed since an earlier job.")
]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Members of .tar and stored .zip archives are read from there: these must stay."),
]
Manifests = Annotated[
    list[str] | None,
    typer.Option(
        "--manifest", metavar="FILE",
        help="A .parquet, .csv or .ndjson with a column of URIs or images, an inventory of S3, or - for either.",
    ),
]  # fmt: skip
Column = Annotated[str | None, typer.Option(metavar="NAME", help="The column of a manifest.")]
Null = Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end in NUL, as from find -print0.")]


def check_options(**options: Any) -> JobOptions:  # noqa: ANN401 - they are what is checked
    """Return the options of a job; raises UsageError that names the first one that cannot be."""
    if options.get("webhook_kind") and not options.get("webhook"):
        raise UsageError("--webhook-kind says how a webhook is told: name it by --webhook")
    try:
        return TypeAdapter(JobOptions).validate_python(options)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        reason = "is no http:// or https:// address" if name == "webhook" else f"cannot be used: {wrong['msg']}"
        raise UsageError(f"--{name.replace('_', '-')} {options[name]!r} {reason}") from error


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of the sources is submitted, and how: those selected, and of what a job had, what has changed `since`."""

    selection: Selection
    since: str | None
    null: bool
    in_place: bool
    manifests: Sequence[str]
    column: str | None


def choose_names(include: list[str] | None, exclude: list[str] | None) -> Selection:
    """Return which names the options of a command select."""
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
    """Return what the options of a command say; raises UsageError where they name nothing."""
    if not paths and not manifest:
        raise UsageError("name files, folders or URIs to scan, or a --manifest; --help says more")
    if column is not None and not manifest:
        raise UsageError(f"--column {column!r} is of a manifest: name it by --manifest")
    return Chosen(names, since, null, in_place, tuple(manifest or ()), column)


def submit_paths(current: Session, paths: list[str] | None, options: JobOptions, chosen: Chosen) -> Submission:
    """Store one job for everything that `paths` name; ends the command where nothing has changed.

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
            raise UsageError("the names came in too slowly, and what was read of archives is gone") from error
