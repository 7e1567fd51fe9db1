"""`starlight purge`: deletes jobs, verdicts and stored images."""

import sys
from contextlib import suppress
from typing import Annotated

import typer
from sqlalchemy import Engine

from producer.cli.commands.verdicts import parse_time
from producer.cli.errors import UsageError
from producer.cli.installation import open_installation, require_job
from starlight_vocabulary.counts import format_count
from storage.blobs import Blobs
from storage.partitions import PartitionError
from storage.purging import EndedJobs, PurgeFigures, measure_jobs, purge_jobs, purge_partitions
from storage.retention import delete_released_blobs
from storage.submitters import check_submitter


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(purge)


def purge(
    job_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these jobs.")] = None,
    before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only jobs that ended before this time, in ISO 8601.")
    ] = None,
    submitter: Annotated[str | None, typer.Option(help="Only of this submitter.")] = None,
    only_blobs: Annotated[
        bool, typer.Option("--only-blobs", help="Delete only the stored images; keep jobs and verdicts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete ended jobs with their verdicts and stored images. This cannot be undone."""
    if not job_ids and before is None and submitter is None:
        raise UsageError("say which jobs: their ids, --before TIME, or --submitter NAME")
    ended_before = parse_time(before)
    with open_installation() as current:
        if submitter is not None:
            check_submitter(current.engine, submitter)
        named = [require_job(current, job_id) for job_id in job_ids or ()]
        for status in named:
            if not status.ended:
                raise UsageError(f"job {status.id} has not ended: wait for it, or `starlight cancel {status.id}`")
        wanted = EndedJobs([status.id for status in named] or None, ended_before, submitter)
        found = measure_jobs(current.engine, wanted)
        show_found(found, only_blobs=only_blobs)
        if found.jobs and not yes:
            require_confirmation()
        purged = delete_jobs(current.engine, wanted, only_blobs=only_blobs)
        blobs = sum(delete_released_blobs(current.engine, Blobs(current.settings.blobs())))
    jobs = format_count(purged, "job")
    done = f"images of {jobs} released" if only_blobs else f"{jobs} deleted"
    print(f"{done}, {format_count(blobs, 'blob')} deleted")


def show_found(found: PurgeFigures, *, only_blobs: bool) -> None:
    """Print on standard error what would be deleted."""
    images = f"{found.stored_bytes:,} bytes of stored images"
    lost = images if only_blobs else f"{format_count(found.verdicts, 'verdict')} and {images}"
    print(f"{format_count(found.jobs, 'job')} with {lost}", file=sys.stderr)


def require_confirmation() -> None:
    """Ask before deleting; raises typer.Abort if the answer is no, and UsageError if there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError("nothing was deleted: without a terminal to ask for confirmation, --yes is required")
    typer.confirm("delete them?", abort=True, err=True)


def delete_jobs(engine: Engine, wanted: EndedJobs, *, only_blobs: bool) -> int:
    """Delete these jobs, or only release their blobs; return their number."""
    purged = 0
    if wanted.before is not None and wanted == EndedJobs(before=wanted.before) and not only_blobs:
        # Whole months are dropped as partitions; if that is not possible now, jobs are deleted one by one.
        with suppress(PartitionError):
            purged += sum(purge_partitions(engine, wanted.before))
    return purged + sum(purge_jobs(engine, wanted, only_blobs=only_blobs))
