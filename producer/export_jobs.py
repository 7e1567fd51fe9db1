"""Exports that API keys requested: where their files are stored, and the process that writes them."""

import shutil
import sys
import tempfile
import uuid

import obstore
from obstore.store import ObjectStore, from_url
from sqlalchemy import Engine

from producer.export_manifest import Manifest
from producer.exporting import Export, ExportOptions
from producer.leased_work import UNWANTED, end_with_code, start_work
from starlight_vocabulary.exports import MANIFEST
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.records import from_json
from storage.blobs import CLIENT, RETRIES, Blobs, find_folder
from storage.export_jobs import ExportJob, find_running_export, note_progress
from storage.settings import Settings
from storage.verdict_search import VerdictFilter

# A file is written to the temporary folder first, which in containers is a small one in memory.
BYTES_OF_A_FILE = 32 * 2**20
# Exit code: the export cannot be made, and a retry would not help.
FAILED = 3


class UnwantedError(Exception):
    """The export was deleted, or another process has taken it over."""


class NoRoomError(Exception):
    """The export exceeds a storage limit; the message says which."""


def locate_export(settings: Settings, export_id: uuid.UUID) -> str:
    """Return the URL of the folder with the files of an export."""
    return f"{settings.blobs().rstrip('/')}/exports/{export_id}"


def open_files(settings: Settings, export_id: uuid.UUID) -> ObjectStore:
    """Return the object store with the files of an export."""
    url = locate_export(settings, export_id)
    if (folder := find_folder(url)) is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return from_url(url, client_options=CLIENT, retry_config=RETRIES)


def read_manifest(settings: Settings, export_id: uuid.UUID) -> Manifest | None:
    """Return the manifest of an export, or None if it is not written yet."""
    try:
        return Manifest.from_json(bytes(obstore.get(open_files(settings, export_id), MANIFEST).bytes()))
    except FileNotFoundError:
        return None


def delete_files(settings: Settings, export_id: uuid.UUID) -> None:
    """Delete all files of an export; raises what `obstore` raises."""
    folder = find_folder(locate_export(settings, export_id))
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    store = open_files(settings, export_id)
    for page in obstore.list(store):
        obstore.delete(store, [each["path"] for each in page])


def read_options(export: ExportJob) -> ExportOptions:
    """Return the options of an export, limited to the verdicts that its key may see."""
    wanted = from_json(VerdictFilter, {**export.request, "submitter": export.submitter})
    return ExportOptions(
        wanted,
        ExportFormat.read(export.request["format"]),
        export.request.get("partition_by"),
        bytes_of_a_file=BYTES_OF_A_FILE,
    )


def make_export(engine: Engine, settings: Settings, export: ExportJob) -> None:
    """Write the files of an export; continue where an earlier attempt stopped.

    Raises UnwantedError, NoRoomError, ExportError, and what `obstore` raises.
    """
    blobs = Blobs(settings.blobs())

    def note(manifest: Manifest) -> None:
        size = sum(each.size_bytes for each in manifest.files)
        if not note_progress(engine, export, manifest.rows, size):
            raise UnwantedError
        if size > settings.max_stored_bytes_per_key:
            raise NoRoomError("it has more than STARLIGHT_MAX_STORED_BYTES_PER_KEY bytes: export fewer verdicts")
        free = blobs.count_free_bytes()
        if free is not None and free < settings.min_free_bytes:
            raise NoRoomError("the disk has less than STARLIGHT_MIN_FREE_BYTES left")

    Export(engine, locate_export(settings, export.id), read_options(export)).run(note)


def main() -> None:
    """Run as `EXPORT_ID ATTEMPT PARENT_PID`; the exit code says how it ended, standard output why it failed."""
    export_id, attempt, parent = sys.argv[1:]
    engine, settings = start_work("export", parent, pool_size=1)
    export = find_running_export(engine, uuid.UUID(export_id), int(attempt))
    if export is None:
        sys.exit(UNWANTED)
    # Unfinished files go to the same disk as finished ones, since the free space of that disk is checked.
    if find_folder(locate_export(settings, export.id)) is not None:
        open_files(settings, export.id)
        tempfile.tempdir = str(find_folder(locate_export(settings, export.id)))
    with end_with_code("an export is not made", export=export.id):
        try:
            make_export(engine, settings, export)
        except UnwantedError:
            sys.exit(UNWANTED)
        except NoRoomError as error:
            print(error)
            sys.exit(FAILED)


if __name__ == "__main__":
    main()
