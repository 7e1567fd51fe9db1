"""`starlight submit`, `job`, `jobs`, `cancel` and `audit`."""

import dataclasses
import json
import sys
import uuid
from collections.abc import Sequence
from typing import Annotated

import typer

from producer.cli.errors import UsageError
from producer.cli.installation import Installation, open_installation, parse_id, require_job, warn_without_workers
from producer.cli.output import JsonLinesOption, summarise_job
from producer.cli.progress import show_progress
from producer.cli.remote import Key, Server, open_remote
from producer.cli.submitting import (
    Column,
    Exclude,
    Include,
    InPlace,
    Kind,
    Manifests,
    Name,
    Null,
    Paths,
    PriorityOption,
    Since,
    Threshold,
    Webhook,
    check_options,
    choose,
    choose_names,
    submit_paths,
)
from producer.following import Follower
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.job import Job, JobOptions
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.failures import list_retries
from storage.jobs import cancel_job, list_jobs
from storage.rescans import list_rescans
from storage.webhooks import WebhookState, get_webhook

JobId = Annotated[str, typer.Argument(metavar="ID", help="The id of a job.")]
NOT_EXACT = 1
# All are in memory at once.
MOST_JOBS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (submit, job, jobs, cancel, audit):
        app.command()(command)


def submit(
    paths: Paths = None,
    name: Name = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Repeating the key returns the same job.")] = None,
    priority: PriorityOption = Priority.BULK,
    threshold: Threshold = None,
    webhook: Webhook = None,
    webhook_kind: Kind = None,
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    in_place: InPlace = False,
    manifest: Manifests = None,
    column: Column = None,
    null: Null = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Submit images as one job and print its id; running workers scan it."""
    options = check_options(
        name=name,
        priority=priority,
        threshold=threshold,
        webhook=webhook,
        webhook_kind=webhook_kind,
        idempotency_key=idempotency_key,
    )
    chosen = choose(
        paths,
        choose_names(include, exclude),
        since=since,
        in_place=in_place,
        null=null,
        manifest=manifest,
        column=column,
    )
    if server:
        with open_remote(server, key) as api:
            taken = api.submit(paths or [], options, chosen)
        print(taken.id)
        is_listed = f"the server lists its sources: `starlight job {taken.id} --server …` shows the progress"
        print(is_listed if taken.listing else format_count(taken.total, "image"), file=sys.stderr)
        return
    with open_installation() as current:
        check_signing(current, options)
        submission = submit_paths(current, paths, options, chosen)
    print(submission.job_id)
    known = "" if submission.created else ", already submitted under this idempotency key"
    print(f"{format_count(submission.total, 'image')}{known}", file=sys.stderr)


def check_signing(current: Installation, options: JobOptions) -> None:
    """Raise UsageError if there is a webhook but no secret to sign it."""
    if options.webhook is not None and current.settings.webhook_secret is None:
        raise UsageError("webhooks must be signed: set STARLIGHT_WEBHOOK_SECRET here and for the dispatcher (whsec_…)")


def job(
    job_id: JobId,
    watch: Annotated[bool, typer.Option("--watch", help="Show progress until the job has ended.")] = False,
    as_json: JsonLinesOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Show the state of a job."""
    if server:
        with open_remote(server, key) as api:
            status = api.job(str(parse_id(job_id)))
            if watch and not status.ended:
                with show_progress(status.total) as progress:
                    status = api.wait(job_id, progress.show)
        show_job(status, as_json, [], [], None)
        return
    with open_installation() as current:
        status = require_job(current, job_id)
        if watch and not status.ended:
            warn_without_workers(current)
            with show_progress(status.total) as progress:
                for update in Follower(current.engine, status.id).follow():
                    progress.show(update.job)
            status = require_job(current, job_id)
        retries = list_retries(current.engine, status.id)
        rescans = list_rescans(current.engine, status.id)
        webhook = get_webhook(current.engine, status.id)
    show_job(status, as_json, retries, rescans, webhook)


def show_job(
    status: Job,
    as_json: bool,
    retries: Sequence[uuid.UUID],
    rescans: Sequence[uuid.UUID],
    webhook: WebhookState | None,
) -> None:
    """Print the state of a job, with the jobs that scan its images again."""
    if as_json:
        print(format_line(status, retries=retries, rescans=rescans, webhook=webhook and webhook.summary))
        return
    for label, value in (
        ("job", status.id), ("name", status.name), ("submitter", status.submitter), ("priority", status.priority),
        ("threshold", status.threshold), ("state", status.state),
        ("progress", f"{status.finished:,} of {status.total:,}"),
        ("listing", status.listing), ("reason", status.listing_error),
        ("verdicts", summarise_job(status)),
        ("created", status.created_at), ("started", status.started_at), ("finished at", status.finished_at),
        ("retry of", status.retry_of), *(("retried as", retry) for retry in retries),
        ("rescan of", status.rescan_of), *(("rescanned as", rescan) for rescan in rescans),
        ("webhook", webhook and webhook.summary),
    ):  # fmt: skip
        if value is not None:
            print(f"{label:<12} {escape(str(value))}")


def jobs(
    limit: Annotated[int, typer.Option(min=1, max=MOST_JOBS, help="Maximum number, newest first.")] = 20,
    as_json: JsonLinesOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """List the newest jobs."""
    if server:
        with open_remote(server, key) as api:
            listed = api.jobs(limit)
    else:
        with open_installation() as current:
            listed = list_jobs(current.engine, limit=limit)
    if as_json:
        for status in listed:
            print(format_line(status))
        return
    print(f"{'ID':<36}  {'STATE':<9}  {'DONE':>9}  {'IMAGES':>9}  {'STEGO':>7}  {'ERRORS':>7}  {'CREATED':<16}  NAME")
    for status in listed:
        counts = f"{status.finished:>9,}  {status.total:>9,}  {status.stego:>7,}  {status.error:>7,}"
        created = f"{status.created_at.astimezone():%Y-%m-%d %H:%M}"
        print(escape(f"{status.id}  {status.state:<9}  {counts}  {created}  {status.name or ''}"))


def cancel(job_id: JobId, server: Server = None, key: Key = None) -> None:
    """Cancel a job: images without a verdict get the error `cancelled`."""
    if server:
        with open_remote(server, key) as api:
            left: int | None = api.cancel(str(parse_id(job_id)))
    else:
        with open_installation() as current:
            left = cancel_job(current.engine, require_job(current, job_id).id)
    print(f"{format_count(left, 'image')} will not be scanned" if left else f"job {job_id} has already ended")


def audit(
    job_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    every: Annotated[bool, typer.Option("--all", help="Audit every job.")] = False,
    as_json: JsonLinesOption = False,
) -> None:
    """Count references and verdicts of a job; exit code 1 unless each reference has exactly one verdict."""
    if (job_id is None) != every:
        raise UsageError("name one job id, or --all")
    exact = True
    with open_installation() as current:
        wanted = None if job_id is None else [require_job(current, job_id).id]
        for audited in audit_jobs(current.engine, wanted):
            exact = exact and audited.exact
            if as_json:
                print(json.dumps({**dataclasses.asdict(audited), "exact": audited.exact}, default=str))
                continue
            counters = "" if audited.counters_agree else ", the job's counters disagree"
            print(
                f"{audited.job_id}: {audited.references} references, {audited.verdicts} verdicts, "
                f"{audited.missing} missing, {audited.double} double{counters}"
            )
    if not exact:
        raise typer.Exit(NOT_EXACT)


def format_line(status: Job, **more: object) -> str:
    """Return the job as one JSON object, with `more` members; times are in ISO 8601."""
    return json.dumps({**to_json(status), **more}, default=str)
