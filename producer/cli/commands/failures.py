"""`starlight failed` and `retry`: listing failed images, and submitting them again."""

import sys
from typing import Annotated

import typer

from producer.cli.commands.jobs import JobId
from producer.cli.commands.verdicts import (
    JobOption,
    SinceOption,
    parse_time,
    print_verdicts,
    read_word,
    require_filtered,
)
from producer.cli.installation import open_installation, parse_id, require_job
from producer.cli.output import Format, FormatOption
from producer.cli.submitting import Name
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.words import FAILURES, ErrorCode, Outcome
from storage.failures import count_failures, retry_job
from storage.traces import set_up_traces
from storage.verdict_search import VerdictFilter, find_verdicts

Codes = Annotated[
    list[str] | None,
    typer.Option("--code", help="Only this error code; may be repeated. By default all except `cancelled`."),
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (failed, retry):
        app.command()(command)


def failed(
    code: Codes = None,
    since: SinceOption = None,
    job: JobOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number listed; all are counted.")] = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List failed images with the reasons, newest first, and count them by code."""
    wanted = VerdictFilter(
        job_id=parse_id(job) if job is not None else None,
        outcome=Outcome.ERROR,
        since=parse_time(since),
        error_codes=parse_codes(code),
    )
    with open_installation() as current:
        require_filtered(current, wanted)
        print_verdicts(find_verdicts(current.engine, wanted, limit), format)
        counts = count_failures(current.engine, wanted)
    counted = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    print(
        f"{format_count(sum(counts.values()), 'image')} failed{': ' if counted else ''}{counted}",
        file=sys.stdout if format is Format.TABLE else sys.stderr,
    )


def retry(job_id: JobId, code: Codes = None, name: Name = None) -> None:
    """Submit the failed images of an ended job as a new job, and print its id; `starlight job` shows the link.

    The new job has the same submitter, priority and threshold.
    """
    codes = parse_codes(code)
    set_up_traces("starlight")
    with open_installation() as current:
        submission = retry_job(
            current.engine,
            require_job(current, job_id).id,
            codes=codes,
            name=name,
            chunk_size=current.settings.chunk_size,
        )
    print(submission.job_id)
    print(format_count(submission.total, "image"), file=sys.stderr)


def parse_codes(codes: list[str] | None) -> tuple[ErrorCode, ...]:
    """Return the codes, by default those of all failures; raises UsageError for an unknown one."""
    return tuple(read_word(ErrorCode, "error code", code) for code in codes or FAILURES)
