"""Exports that an API makes, brought into a folder here."""

import sys
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from producer.cli.remote import Remote, describe_search
from producer.cli.session import UsageError
from starlight_vocabulary.exports import MANIFEST, ExportReport, ExportState
from starlight_vocabulary.formats import ExportFormat
from storage.verdicts import VerdictFilter

if TYPE_CHECKING:
    from starlight_client import ExportSearch

# Which export a folder is for, until it is there: broken off, the same command goes on with it.
EXPORT_ID = ".export"


def check_folder(folder: Path) -> None:
    """Raise UsageError where a folder has files of something else than a download that was broken off."""
    if folder.exists() and any(folder.iterdir()) and not (folder / EXPORT_ID).exists():
        whole = "an export that is whole" if (folder / MANIFEST).exists() else "other files"
        raise UsageError(f"{folder} has {whole} in it: name an empty folder, or one that an export was broken off in")


def download_export(
    api: Remote, folder: Path, wanted: VerdictFilter, chosen: ExportFormat, partition_by: str | None
) -> ExportReport:
    """Have verdicts exported there, and write the files below a folder; return the export, which is deleted there.

    Raises UsageError where it fails, and as the client does.
    """
    export = find_begun(api, folder)
    if export is None:
        search: ExportSearch = {
            **describe_search(wanted),
            "job_id": None,
            "model": wanted.model,
            "partition_by": partition_by,
        }
        export = api.client.start_export(chosen, **search)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EXPORT_ID).write_text(str(export.id), "ascii")
    export = api.client.wait_for_export(export.id, progress=show_rows)
    if export.state is not ExportState.DONE:
        (folder / EXPORT_ID).unlink()
        raise UsageError(f"the export has failed there: {export.error}")
    api.client.download_export(export.id, folder)
    (folder / EXPORT_ID).unlink()
    api.client.delete_export(export.id)
    return export


def find_begun(api: Remote, folder: Path) -> ExportReport | None:
    """Return the export that a folder is for, None where there is none yet, or it is gone there."""
    from starlight_client import RefusedError

    if not (folder / EXPORT_ID).exists():
        return None
    try:
        return api.client.export(uuid.UUID((folder / EXPORT_ID).read_text("ascii")))
    except ValueError as error:
        raise UsageError(f"{folder / EXPORT_ID} names no export: delete it") from error
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def show_rows(export: ExportReport) -> None:
    """Tell how far the export has come, on standard error."""
    print(f"{export.rows:,} verdicts are exported there ({export.state})", file=sys.stderr)
