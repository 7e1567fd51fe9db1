"""`starlight export`: writes any number of verdicts to files or standard output."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from obstore.exceptions import BaseError as StoreError

from producer.cli.commands.verdicts import (
    MethodOption,
    ModelOption,
    OutcomeOption,
    SinceOption,
    parse_period,
    parse_word,
    require_filtered,
)
from producer.cli.downloading import check_folder, download_export
from producer.cli.errors import UsageError
from producer.cli.folders import check_is_folder
from producer.cli.installation import open_installation
from producer.cli.output import Format, check_printable, open_writer
from producer.cli.remote import Key, Server, open_remote
from producer.export_manifest import ExportError, Manifest
from producer.exporting import DAY, Export, ExportOptions
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.exports import MANIFEST
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.words import Method, Outcome
from storage.buckets import read_location
from storage.exports import list_oldest_first, settle
from storage.verdict_search import VerdictFilter


class Partitioning(StrEnum):
    """How files are partitioned into folders."""

    DAY = DAY


class ExportedFormat(StrEnum):
    """Formats of exported files."""

    PARQUET = ExportFormat.PARQUET.value
    CSV = ExportFormat.CSV.value
    NDJSON = ExportFormat.NDJSON.value


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(export)


def export(
    to: Annotated[
        str | None, typer.Option(metavar="DIR|s3://…", help="Target folder or bucket; without it, standard output.")
    ] = None,
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time; by default, now.")] = None,
    outcome: OutcomeOption = None,
    method: MethodOption = None,
    submitter: Annotated[str | None, typer.Option(help="Only of this submitter's jobs.")] = None,
    model: ModelOption = None,
    format: Annotated[  # noqa: A002 - the name of the option
        ExportedFormat, typer.Option(help="Format of the files.")
    ] = ExportedFormat.PARQUET,
    partition_by: Annotated[
        Partitioning | None, typer.Option("--partition-by", help="One folder per day, day=2026-06-01.")
    ] = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """Export stored verdicts, oldest first. After an interruption, run the same command again to continue.

    _manifest.json lists the files with their rows, bytes and SHA-256. Times without a time zone are local.
    """
    begin, end = parse_period(since, until)
    wanted = VerdictFilter(
        outcome=parse_word(Outcome, "outcome", outcome),
        method=parse_word(Method, "method", method),
        since=begin,
        until=end,
        submitter=submitter,
        model=model,
    )
    chosen = ExportFormat[format.name]
    layout = partition_by.value if partition_by else None
    if server:
        fetch_export(server, key, to, wanted, chosen, layout)
        return
    if to is None:
        if partition_by:
            raise UsageError("--partition-by needs --to")
        print_export(wanted, chosen)
        return
    with open_installation() as current, explain_interruption():
        require_filtered(current, wanted)
        url = locate(to)
        options = ExportOptions(wanted, chosen, layout)
        try:
            manifest = Export(current.engine, url, options).run(show_manifest)
        except (StoreError, OSError) as error:
            # What follows in an object store's error is for who debugs its client.
            reason = str(error).partition("\n")[0]
            raise ExportError(f"the export to {to} stopped: {reason}; to continue, run this again") from error
    print(f"{format_size(manifest.rows, len(manifest.files))}, up to {manifest.until.isoformat()}")


def fetch_export(
    server: str, key: str | None, to: str | None, wanted: VerdictFilter, chosen: ExportFormat, layout: str | None
) -> None:
    """Export on the server, and download the files."""
    if to is None or "://" in to:
        raise UsageError("--server needs --to with a local folder")
    if wanted.submitter is not None:
        raise UsageError("--submitter cannot be used with --server, which exports everything that the key may see")
    folder = Path(to).absolute()
    check_folder(folder)
    with open_remote(server, key) as api, explain_interruption():
        done = download_export(api, folder, wanted, chosen, layout)
    print(format_size(done.rows, len(done.files or [])))


@contextmanager
def explain_interruption() -> Iterator[None]:
    """Print on standard error how to continue, if Ctrl-C or a signal ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; to continue, type: {repeat_command(sys.argv[1:])}", file=sys.stderr)
        raise


def repeat_command(arguments: Sequence[str]) -> str:
    """Return the command with these arguments as typed in a shell, except for the key, which is secret."""
    typed = shlex.join(["starlight", *arguments])
    return escape(re.sub(r"--key[ =]\S+", "--key …", typed))


def format_size(rows: int, files: int) -> str:
    """Return the size of an export as text."""
    return f"{format_count(rows, 'verdict')} in {format_count(files, 'file')}"


def print_export(wanted: VerdictFilter, chosen: ExportFormat) -> None:
    """Write all verdicts to standard output."""
    format = check_printable(Format(chosen.value))  # noqa: A001
    with open_installation() as current:
        require_filtered(current, wanted)
        # Opened after the checks: some formats begin at once, and a refused export must print nothing.
        writer = open_writer(format)
        for page in list_oldest_first(current.engine, settle(current.engine, wanted)):
            writer.write(page)
        writer.close()


def locate(to: str) -> str:
    """Return the URL of the target folder or bucket; raises UsageError if it cannot be used."""
    if "://" in to:
        try:
            return str(read_location(to))
        except ValueError as error:
            raise UsageError(f"--to {to}: {error}") from None
    folder = Path(to).absolute()
    check_is_folder(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} contains other files: name an empty folder, or one with an interrupted export")
    return folder.as_uri()


def show_manifest(manifest: Manifest) -> None:
    """Print the progress of the export on standard error."""
    if manifest.complete:
        print(
            "this export is complete; for newer verdicts, export to another target with --since its end",
            file=sys.stderr,
        )
    elif manifest.files:
        print(f"{format_count(manifest.rows, 'verdict')} in {manifest.files[-1].path}", file=sys.stderr)
