"""Submitting what a person names on the command line."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from producer.cli.session import Session
from producer.sources.expansion import Sources
from storage.blobs import Blobs
from storage.jobs import Submission, submit_job


class Priority(StrEnum):
    """Which queue a job's chunks go to; workers empty the interactive one first."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="Files, folders, globs, .zip and .tar archives, or - for names on standard input."
    ),
]
Name = Annotated[str | None, typer.Option(help="A name for people.")]


def _threshold(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter("must lie between 0 and 1")
    return value


Threshold = Annotated[
    float | None,
    typer.Option(callback=_threshold, help="Stego probability that counts as stego, instead of the model's own."),
]
PriorityOption = Annotated[Priority, typer.Option(help="Interactive jobs overtake bulk jobs.")]
Null = Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end in NUL, as from find -print0.")]


def submit_paths(
    current: Session,
    paths: list[str],
    *,
    name: str | None,
    priority: Priority,
    threshold: float | None,
    null: bool,
    idempotency_key: str | None = None,
    webhook: str | None = None,
) -> Submission:
    """Store one job for everything that `paths` name; raises SourceError or EmptyJobError."""
    configured = current.settings
    sources = Sources(Blobs(configured.blobs()), configured)
    references = sources.from_arguments(paths, sys.stdin.buffer, separator=b"\0" if null else b"\n")
    return submit_job(
        current.engine,
        references,
        submitter=configured.submitter,
        name=name,
        idempotency_key=idempotency_key,
        priority=priority,
        threshold=threshold,
        webhook=webhook,
        chunk_size=configured.chunk_size,
    )
