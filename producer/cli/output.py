"""Printing verdicts and jobs, for people and programs. Untrusted text is escaped for terminals."""

import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.text import Text

from producer.cli.errors import UsageError
from producer.sources.expansion import format_reference
from producer.verdict_writers import CsvWriter, NdjsonWriter, ParquetWriter, VerdictWriter
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import disarm, escape
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import Job
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import JobState, Outcome

STYLES = {Outcome.CLEAN: "green", Outcome.STEGO: "bold red", Outcome.ERROR: "yellow"}
NAME_WIDTH = 42


class Format(StrEnum):
    """How verdicts are printed."""

    TABLE = "table"
    NDJSON = ExportFormat.NDJSON.value
    CSV = ExportFormat.CSV.value
    PARQUET = ExportFormat.PARQUET.value
    SPREADSHEET = "spreadsheet"


def check_printable(chosen: Format) -> Format:
    """Return the format; raises UsageError for one that a terminal cannot show."""
    if chosen is Format.PARQUET and sys.stdout.isatty():
        raise UsageError(
            "Parquet cannot be shown on a terminal: redirect it to a file, `… --format parquet > verdicts.parquet`"
        )
    return chosen


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
FormatOption = Annotated[Format, typer.Option(help="How to print verdicts.", callback=check_printable)]


def open_writer(chosen: Format) -> VerdictWriter:
    """Return a writer of this format on the current standard output."""
    if chosen is Format.PARQUET:
        return ParquetWriter(sys.stdout.buffer)
    # On a terminal CSV is escaped too, since it is read by a person there.
    cell = escape if sys.stdout.isatty() else str
    writers: dict[Format, Callable[[TextIO], VerdictWriter]] = {
        Format.TABLE: TableWriter,
        Format.NDJSON: NdjsonWriter,
        Format.CSV: partial(CsvWriter, write_text=cell),
        Format.SPREADSHEET: partial(CsvWriter, write_text=lambda text: cell(disarm(text))),
    }
    return writers[chosen](sys.stdout)


class OpenEndedConsole(Console):
    """A console that raises an error on a broken pipe; Rich would exit with 1, which means "something was found"."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, as other writers do."""
        raise BrokenPipeError


class TableWriter:
    """Aligned columns, coloured on a terminal; of fixed width, since rows are printed immediately."""

    def __init__(self, stream: TextIO) -> None:
        self._console = OpenEndedConsole(file=stream, soft_wrap=True, highlight=False)
        self._wide = self._console.width if self._console.is_terminal else None
        self._here = f"{Path.cwd()}/"
        self._row("OUTCOME", "P(STEGO)", "METHOD", "BIT ORDER", "IMAGE", "MESSAGE OR REASON", style="bold")

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Print these verdicts now."""
        for verdict in verdicts:
            probability = verdict.stego_probability
            outcome = verdict.outcome
            reason = verdict.extracted_message or ""
            if outcome is Outcome.ERROR:
                reason = f"{verdict.error_code}: {verdict.error_detail}"
            self._row(
                outcome,
                "" if probability is None else f"{probability:.4f}",
                verdict.stego_type or "",
                verdict.bit_order or "",
                shorten(escape(format_reference(verdict.uri).removeprefix(self._here)), NAME_WIDTH),
                reason,
                style=STYLES.get(outcome, ""),
            )

    def close(self) -> None:
        """Do nothing: there is no footer."""

    def _row(self, outcome: str, probability: str, method: str, order: str, name: str, rest: str, style: str) -> None:
        line = Text().append(escape(f"{outcome:<9}"), style=style)
        line.append(escape(f"{probability:<9} {method:<8} {order:<10} {name:<{NAME_WIDTH}}  {rest}".rstrip()))
        if self._wide is not None:
            line.truncate(self._wide, overflow="ellipsis")
        self._console.print(line)


def shorten(name: str, width: int) -> str:
    """Return the end of a long name, which says more than its start."""
    return name if len(name) <= width else "…" + name[1 - width :]


def summarise_job(job: Job) -> str:
    """Return the job in one line: images, stego, errors and images a minute."""
    images, errors = format_count(job.finished, "image"), format_count(job.error, "error")
    counts = f"{images}: {job.clean} clean, {job.stego} stego, {errors}"
    if not (job.started_at and job.finished_at) or job.finished_at <= job.started_at or job.state is JobState.CANCELLED:
        return counts
    seconds = (job.finished_at - job.started_at).total_seconds()
    return f"{counts}; {seconds:.1f} s, {60 * job.finished / seconds:,.0f} images/min"
