"""Downloading an export from an API into a local folder."""

import json
import sys
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from producer.cli.errors import UsageError
from producer.cli.folders import check_is_folder
from producer.cli.remote import Remote, describe_search
from starlight_vocabulary.exports import MANIFEST, ExportReport, ExportState
from starlight_vocabulary.formats import ExportFormat
from storage.verdict_search import VerdictFilter

if TYPE_CHECKING:
    from starlight_client import ExportSearch

# A file with the id of the export and what it was asked for, until the download is complete. After an interruption, the
# same command continues.
EXPORT_ID = ".export"


def check_folder(folder: Path) -> None:
    """Raise UsageError if a folder has any files, except those of an interrupted download."""
    check_is_folder(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / EXPORT_ID).exists():
        what = "a complete export" if (folder / MANIFEST).exists() else "other files"
        raise UsageError(f"{folder} contains {what}: name an empty folder, or one with an interrupted export")


def download_export(
    api: Remote, folder: Path, wanted: VerdictFilter, chosen: ExportFormat, partition_by: str | None
) -> ExportReport:
    """Export verdicts on the server, and download the files to a folder; return the export, which is deleted there.

    Raises UsageError if it fails, or if another download was interrupted there, and what the client raises.
    """
    search: ExportSearch = {
        **describe_search(wanted),
        "job_id": None,
        "model": wanted.model,
        "partition_by": partition_by,
    }
    asked = json.dumps({"format": chosen, **search}, default=str)
    export = find_interrupted(api, folder, asked)
    if export is None:
        export = api.client.start_export(chosen, **search)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EXPORT_ID).write_text(f"{export.id}\n{asked}\n", "ascii")
    export = api.client.wait_for_export(export.id, progress=show_rows)
    if export.state is not ExportState.DONE:
        (folder / EXPORT_ID).unlink()
        raise UsageError(f"the export has failed on the server: {export.error}")
    api.client.download_export(export.id, folder)
    (folder / EXPORT_ID).unlink()
    api.client.delete_export(export.id)
    return export


def find_interrupted(api: Remote, folder: Path, asked: str) -> ExportReport | None:
    """Return the export of an interrupted download, or None if there is none, or the server has deleted it.

    Raises UsageError if it was asked for something else, or if its file cannot be read.
    """
    from starlight_client import RefusedError

    if not (folder / EXPORT_ID).exists():
        return None
    export_id, _, earlier = (folder / EXPORT_ID).read_text("ascii", errors="replace").partition("\n")
    # Earlier releases wrote the id alone.
    if earlier and earlier.strip() != asked:
        raise UsageError(f"the interrupted export in {folder} had other options: use the same ones, or another folder")
    try:
        return api.client.export(uuid.UUID(export_id))
    except ValueError as error:
        raise UsageError(f"{folder / EXPORT_ID} has no valid export id: delete this file") from error
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def show_rows(export: ExportReport) -> None:
    """Print the progress of the export on standard error."""
    print(f"{export.rows:,} verdicts exported on the server ({export.state})", file=sys.stderr)
