"""Where the files of an export for a key of the API lie, and making them in a process of their own."""

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
from storage.verdicts import VerdictFilter

# Of one file: what containers hold in memory as their folder for temporary files is small.
BYTES_OF_A_FILE = 32 * 2**20
# Exit code: it cannot be made.
FAILED = 3


class UnwantedError(Exception):
    """The export was deleted, or another process makes it."""


class NoRoomError(Exception):
    """The export has more bytes than it may; the message says which limit."""


def locate_export(settings: Settings, export_id: uuid.UUID) -> str:
    """Return the URL that the files of an export are below."""
    return f"{settings.blobs().rstrip('/')}/exports/{export_id}"


def open_files(settings: Settings, export_id: uuid.UUID) -> ObjectStore:
    """Return the store of the files of an export."""
    url = locate_export(settings, export_id)
    if (folder := find_folder(url)) is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return from_url(url, client_options=CLIENT, retry_config=RETRIES)


def read_manifest(settings: Settings, export_id: uuid.UUID) -> Manifest | None:
    """Return what the files of an export hold, or None where there is none yet."""
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
    """Return what an export is of, of the verdicts that its key may see."""
    wanted = from_json(VerdictFilter, {**export.request, "submitter": export.submitter})
    return ExportOptions(
        wanted,
        ExportFormat.read(export.request["format"]),
        export.request.get("partition_by"),
        bytes_of_a_file=BYTES_OF_A_FILE,
    )


def make_export(engine: Engine, settings: Settings, export: ExportJob) -> None:
    """Make the files of an export, going on where it was broken off.

    Raises UnwantedError, NoRoomError, what `obstore` raises, and ExportError.
    """
    blobs = Blobs(settings.blobs())

    def note(manifest: Manifest) -> None:
        size = sum(each.size_bytes for each in manifest.files)
        if not note_progress(engine, export, manifest.rows, size):
            raise UnwantedError
        if size > settings.max_stored_bytes_per_key:
            raise NoRoomError("it has more than STARLIGHT_MAX_STORED_BYTES_PER_KEY bytes: ask for less")
        free = blobs.count_free_bytes()
        if free is not None and free < settings.min_free_bytes:
            raise NoRoomError("the disk has less than STARLIGHT_MIN_FREE_BYTES left")

    Export(engine, locate_export(settings, export.id), read_options(export)).run(note)


def main() -> None:
    """Make the export of an id and attempt for a parent; end with a code, why it failed goes to standard output."""
    export_id, attempt, parent = sys.argv[1:]
    engine, settings = start_work("export", parent, pool_size=1)
    export = find_running_export(engine, uuid.UUID(export_id), int(attempt))
    if export is None:
        sys.exit(UNWANTED)
    # A file that is not whole yet lies where it will be stored, where that is a disk: its room is looked after.
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
