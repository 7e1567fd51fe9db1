"""`starlight watch`: submits new images of a source as they appear."""

import os
import sys
from typing import Annotated

import typer

from producer.cli.commands.jobs import check_signing
from producer.cli.installation import open_installation, warn_without_workers
from producer.cli.submitting import (
    Exclude,
    Include,
    InPlace,
    Name,
    PriorityOption,
    Threshold,
    Webhook,
    check_options,
    choose_names,
)
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.words import Priority
from storage.submission import Submission
from storage.traces import set_up_traces

# Longest name of a job, in characters.
MAX_NAME = 200


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(watch)


def watch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, s3://…, gs://… or az://…, or bitcoin: for new blocks.")
    ],
    once: Annotated[bool, typer.Option("--once", help="Submit what is new, and exit.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Interval at which the whole source is checked.")
    ] = 60.0,
    settle: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long a file must not have changed before it is submitted."),
    ] = 2.0,
    include: Include = None,
    exclude: Exclude = None,
    in_place: InPlace = False,
    name: Name = None,
    priority: PriorityOption = Priority.BULK,
    threshold: Threshold = None,
    webhook: Webhook = None,
) -> None:
    """Submit new images of a source in small jobs, and print their ids. After a restart, it continues where it was.

    Each version of a file is submitted once, and not while it is being written. If two commands watch the same source
    for the same submitter, the newer one continues, and the other ends.
    """
    # Imported here, since no other command needs it.
    from producer.watching.opening import WatchOptions, open_source
    from producer.watching.watcher import Watcher

    if name is None:
        # Names of folders may have any bytes.
        name = f"watch {os.fsencode(source).decode(errors='replace')}"[:MAX_NAME]
    options = check_options(name=name, priority=priority, threshold=threshold, webhook=webhook)
    set_up_traces("starlight")
    with open_installation(program="watch") as current:
        check_signing(current, options)
        opened = open_source(
            source, current.settings, WatchOptions(every, settle, choose_names(include, exclude), in_place)
        )
        warn_without_workers(current)
        watcher = Watcher(current.engine, current.settings, opened, options)
        if once:
            watcher.run_once(show_submission)
        else:
            watcher.run(show_submission)


def show_submission(submission: Submission) -> None:
    """Print the id of a job, unbuffered."""
    print(submission.job_id, flush=True)
    print(format_count(submission.total, "image"), file=sys.stderr)
