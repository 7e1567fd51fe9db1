"""Submitting what a person names on the command line."""

import sys
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from producer.cli.session import Session, UsageError
from producer.sources.expansion import Sources
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority, WebhookKind
from storage.blobs import Blobs
from storage.jobs import Submission, UploadExpiredError
from storage.traces import set_up_traces
from storage.uploads import KeyInUseError, StorageLimits, Upload

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Files, folders, globs, .zip and .tar archives, bitcoin:block/HEIGHT, or - for names on standard input.",
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


def submit_paths(current: Session, paths: list[str], options: JobOptions, *, null: bool) -> Submission:
    """Store one job for everything that `paths` name.

    Raises SourceError, ArchiveTooLargeError, EmptyJobError, StorageFullError and UsageError.
    """
    set_up_traces("starlight")
    configured = current.settings
    limits = StorageLimits(None, configured.min_free_bytes)
    with Upload(current.engine, Blobs(configured.blobs()), configured.submitter, limits) as upload:
        sources = Sources(upload, configured)
        references = sources.from_arguments(paths, sys.stdin.buffer, separator=b"\0" if null else b"\n")
        try:
            return upload.submit(references, options, chunk_size=configured.chunk_size)
        except KeyInUseError as error:
            key = options.idempotency_key
            raise UsageError(f"another command with the idempotency key {key!r} has not ended yet") from error
        except UploadExpiredError as error:
            raise UsageError("the names came in too slowly, and what was read of archives is gone") from error
