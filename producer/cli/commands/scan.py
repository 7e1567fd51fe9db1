"""`starlight scan`: submits a job, prints its verdicts, and runs a stack meanwhile if none runs."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from producer.cli.installation import Installation, open_installation, warn_without_workers
from producer.cli.output import Format, FormatOption, open_writer, summarise_job
from producer.cli.progress import JobProgress, show_progress
from producer.cli.running import StackRunner, run_stack
from producer.cli.submitting import (
    Column,
    Exclude,
    Include,
    InPlace,
    Manifests,
    Name,
    Null,
    Paths,
    PriorityOption,
    Since,
    Threshold,
    check_options,
    choose,
    choose_names,
    submit_paths,
)
from producer.following import Follower
from producer.stack import make_dispatcher, make_workers
from producer.verdict_writers import VerdictWriter
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.job import Job
from starlight_vocabulary.words import Priority
from storage.jobs import cancel_job, get_job
from storage.submission import Submission
from worker.devices import find_devices

ALL_CLEAN, STEGO_FOUND, SOME_ERRORS = 0, 1, 2


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(scan)


def scan(
    paths: Paths = None,
    format: FormatOption = Format.TABLE,  # noqa: A002 - the name of the option
    ordered: Annotated[bool, typer.Option("--ordered", help="Print in the order of submission.")] = False,
    name: Name = None,
    priority: PriorityOption = Priority.BULK,
    threshold: Threshold = None,
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    in_place: InPlace = False,
    manifest: Manifests = None,
    column: Column = None,
    null: Null = False,
) -> None:
    """Scan images and print their verdicts as they are stored.

    Exit code 0: all clean. 1: something hidden was found. 2: some images ended in an error, or the usage is wrong.
    """
    options = check_options(name=name, priority=priority, threshold=threshold)
    chosen = choose(
        paths,
        choose_names(include, exclude),
        since=since,
        in_place=in_place,
        null=null,
        manifest=manifest,
        column=column,
    )
    with open_installation() as current:

        def submit() -> Submission:
            return submit_paths(current, paths, options, chosen)

        if current.settings.database_url is not None:
            warn_without_workers(current)
            job = scan_and_print(current, None, submit, format, ordered)
        else:
            programs = [make_dispatcher(), *make_workers(find_devices())]
            with run_stack(current, programs, current.settings.data_dir / "logs") as runner:
                job = scan_and_print(current, runner, submit, format, ordered)
    print(f"{summarise_job(job)}; job {job.id}", file=sys.stdout if format is Format.TABLE else sys.stderr)
    if job.error:
        raise typer.Exit(SOME_ERRORS)
    raise typer.Exit(STEGO_FOUND if job.stego else ALL_CLEAN)


def scan_and_print(
    current: Installation,
    runner: StackRunner | None,
    submit: Callable[[], Submission],
    format: Format,  # noqa: A002 - the name of the option
    ordered: bool,
) -> Job:
    """Submit a job, print its verdicts and return it after its end; Ctrl-C or a closed output cancel it."""
    submission = submit()
    follower = Follower(current.engine, submission.job_id, ordered=ordered)
    try:
        with show_progress(submission.total) as progress:
            follow(follower, open_writer(format), progress, runner)
    except (KeyboardInterrupt, BrokenPipeError):
        cancel(current, submission)
        raise
    job = get_job(current.engine, submission.job_id)
    assert job is not None, "jobs are not deleted so soon"
    return job


def follow(follower: Follower, output: VerdictWriter, progress: JobProgress, runner: StackRunner | None) -> None:
    """Print verdicts until the job has ended, and keep the stack running meanwhile."""
    for update in follower.follow():
        output.write(update.verdicts)
        progress.show(update.job)
        if runner is not None:
            runner.watch()
    output.close()


def cancel(current: Installation, submission: Submission) -> None:
    """Cancel the job, since the command is ending."""
    left = cancel_job(current.engine, submission.job_id) or 0
    print(f"cancelled job {submission.job_id}; {format_count(left, 'image')} not scanned", file=sys.stderr)
