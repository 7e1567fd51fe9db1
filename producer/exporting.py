"""Exports of verdicts to files in a folder or an object store. An interrupted export can be continued."""

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import IO, BinaryIO, cast

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from sqlalchemy import Engine

from producer.export_manifest import Manifest, describe_options
from producer.verdict_writers import CsvWriter, NdjsonWriter, ParquetWriter, VerdictWriter
from starlight_vocabulary.exports import MANIFEST, ExportedPart
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.verdict import Verdict
from storage.blobs import CLIENT, RETRIES
from storage.exports import list_oldest_first, settle
from storage.verdict_search import Position, VerdictFilter

# Limits of one file. It is written to a temporary file before it is stored, and written again after an interruption.
ROWS_OF_A_FILE = 250_000
BYTES_OF_A_FILE = 2**30
# Parts of 5 MiB that are uploaded to an object store concurrently.
PIECES_AT_ONCE = 2
DAY = "day"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export and how. With `partition_by="day"`, files are in folders `day=2026-06-01` (UTC).

    A file ends after `rows_of_a_file`, or after the page of verdicts with which it reaches `bytes_of_a_file`.
    """

    wanted: VerdictFilter
    format: ExportFormat
    partition_by: str | None = None
    rows_of_a_file: int = ROWS_OF_A_FILE
    bytes_of_a_file: int = BYTES_OF_A_FILE


class Export:
    """An export to a URL: `file:///…` of a folder, or `s3://…`, `gs://…`, `az://…`.

    Files are stored atomically. The manifest is updated after each, and the same export continues from there.
    """

    def __init__(self, engine: Engine, url: str, options: ExportOptions) -> None:
        self._engine = engine
        self._options = options
        self._store: ObjectStore = (
            LocalStore.from_url(url, mkdir=True)
            if url.startswith("file://")
            else from_url(url, client_options=CLIENT, retry_config=RETRIES)
        )
        self._asked = describe_options(options.wanted, options.format.value, options.partition_by)

    def run(self, show: Callable[[Manifest], object] = lambda manifest: None) -> Manifest:
        """Export what is left and return the manifest. `show` is called with it at the start and after each file.

        Raises ExportError if another export is there, and what `obstore` raises.
        """
        manifest = self._open_manifest()
        show(manifest)
        if manifest.complete:
            return manifest
        wanted = replace(self._options.wanted, until=manifest.until)
        for path, verdicts in self._cut_files(list_oldest_first(self._engine, wanted, manifest.next), manifest):
            manifest.writing = path
            self._store_manifest(manifest)
            manifest.next = self._store_file(path, verdicts, manifest)
            manifest.writing = None
            self._store_manifest(manifest)
            show(manifest)
        manifest.complete = True
        self._store_manifest(manifest)
        return manifest

    def _open_manifest(self) -> Manifest:
        try:
            manifest = Manifest.from_json(bytes(obstore.get(self._store, MANIFEST).bytes()))
        except FileNotFoundError:
            until = settle(self._engine, self._options.wanted).until
            assert until is not None
            return Manifest(self._asked, until)
        manifest.check(self._asked)
        if manifest.writing:
            # If verdicts were deleted since, the next file may get another path, and would not replace this one.
            with suppress(FileNotFoundError):
                obstore.delete(self._store, manifest.writing)
        return manifest

    def _store_manifest(self, manifest: Manifest) -> None:
        obstore.put(self._store, MANIFEST, manifest.to_json())

    def _cut_files(
        self, pages: Iterator[list[Verdict]], manifest: Manifest
    ) -> Iterator[tuple[str, Iterator[list[Verdict]]]]:
        """Yield the path and the verdicts of each file; the verdicts must be consumed before the next file."""
        by_day = self._options.partition_by == DAY
        pieces = _Pieces(pages, by_day=by_day)
        while (first := pieces.peek()) is not None:
            day = f"day={first.scanned_at.astimezone(UTC):%Y-%m-%d}/" if by_day else ""
            name = f"{day}part-{len(manifest.files):06}{self._options.format.suffixes[0]}"
            yield name, pieces.take(self._options.rows_of_a_file)

    def _store_file(self, path: str, verdicts: Iterator[list[Verdict]], manifest: Manifest) -> Position:
        rows = 0
        with tempfile.TemporaryFile(prefix="starlight-export-") as file:
            writer, finish = _open_writer(self._options.format, file)
            for page in verdicts:
                writer.write(page)
                rows += len(page)
                last = page[-1]
                if file.tell() >= self._options.bytes_of_a_file:
                    break
            writer.close()
            finish()
            size = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            obstore.put(self._store, path, file, max_concurrency=PIECES_AT_ONCE)
        manifest.files.append(ExportedPart(path=path, rows=rows, size_bytes=size, sha256=digest))
        manifest.rows += rows
        return Position.of(last)


class _Pieces:
    """Cuts pages of verdicts where a file ends: after a number of rows or, if `by_day`, at the end of a day."""

    def __init__(self, pages: Iterator[list[Verdict]], *, by_day: bool) -> None:
        self._pages = pages
        self._by_day = by_day
        self._held: list[Verdict] = []

    def peek(self) -> Verdict | None:
        """Return the next verdict without consuming it, or None at the end."""
        if not self._held:
            self._held = next(self._pages, [])
        return self._held[0] if self._held else None

    def take(self, rows: int) -> Iterator[list[Verdict]]:
        """Yield the verdicts of the next file, up to `rows`, in non-empty lists."""
        first = self.peek()
        while rows and (following := self.peek()) is not None and first is not None:
            day = first.scanned_at.astimezone(UTC).date()
            if self._by_day and following.scanned_at.astimezone(UTC).date() != day:
                return
            piece = self._held[:rows]
            if self._by_day:
                piece = [each for each in piece if each.scanned_at.astimezone(UTC).date() == day]
            self._held = self._held[len(piece) :]
            rows -= len(piece)
            yield piece


def _open_writer(file_format: ExportFormat, file: IO[bytes]) -> tuple[VerdictWriter, Callable[[], object]]:
    """Return a writer for the file, and a function that flushes buffers and leaves the file open."""
    if file_format is ExportFormat.PARQUET:
        return ParquetWriter(cast(BinaryIO, file)), file.flush
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    return (CsvWriter if file_format is ExportFormat.CSV else NdjsonWriter)(text), text.detach
