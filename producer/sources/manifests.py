"""Manifests: tables with a column of URIs or images, as Parquet, CSV, NDJSON, or an inventory of S3."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote_plus

from producer.sources.archive_process import find_libraries
from producer.sources.archive_reading import READ_ERRORS
from producer.sources.archives import ArchiveMember
from producer.sources.bucket_archives import BucketArchive
from producer.sources.errors import SourceError
from producer.sources.listing import convert_store_errors, read_prefix
from producer.sources.unpacking import UnpackingLimits, read_by_process
from storage.bucket_stores import open_from_bucket
from storage.buckets import is_in_bucket

PARQUET: Final = ".parquet"
INVENTORY: Final = "manifest.json"
LINES: Final = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
PROCESS: Final = "producer.sources.parquet_process"
INVENTORY_PROCESS: Final = "producer.sources.inventory_process"
# Formats of inventories, named as in their manifests.
INVENTORIES: Final = ("CSV", "Parquet", "ORC")
# In bytes; a file with longer lines is not a manifest.
MAX_LINE: Final = 2**20
MAX_INVENTORY_BYTES: Final = 64 * 2**20
# Column names that are recognised if no column is named.
KNOWN_COLUMNS: Final = ("uri", "url", "image", "path", "file")
GZIP: Final = b"\x1f\x8b"


class Manifest:
    """A manifest, named by a path, a URI in a bucket, or `-` for standard input, and optionally its column.

    The suffix says the format: .parquet, or .ndjson or .jsonl, also with .gz; manifest.json is an inventory of S3.
    Everything else is CSV, or NDJSON if it begins with `{`.
    """

    def __init__(
        self,
        name: str,
        column: str | None,
        stdin: BinaryIO,
        limits: UnpackingLimits,
        check: Callable[[str], str] = lambda uri: uri,
    ) -> None:
        """`check` returns a URI of an inventory as it may be read, and raises SourceError if it is not permitted."""
        self._name = name
        self._column = column
        self._stdin = stdin
        self._limits = limits
        self._check = check

    def read(self) -> Iterator[str | ArchiveMember]:
        """Yield the URI, path or image of each row; empty rows are skipped. One row is in memory.

        Raises SourceError, which names the row, if the manifest is invalid, and SourceAwayError.
        """
        lower = self._name.lower()
        if lower.endswith(PARQUET):
            yield from self._read_parquet()
        elif lower.endswith(INVENTORY):
            yield from self._read_inventory()
        else:
            with ExitStack() as opened:
                stream = self._open(opened)
                try:
                    start = stream.peek(1)[:1]
                except READ_ERRORS as error:
                    raise self._refuse(f"cannot be read: {error}") from error
                if lower.endswith(LINES) or start == b"{":
                    yield from self._read_objects(stream)
                else:
                    yield from self._read_table(stream)

    def _read_table(self, stream: io.BufferedReader) -> Iterator[str]:
        rows = self._read_rows(stream)
        header = next(rows, [])
        if not header:
            raise self._refuse("names no columns in its first line")
        column = self._choose_column(header)
        if header.count(column) > 1:
            raise self._refuse(f"has the column {column!r} more than once")
        at = header.index(column)
        for row in rows:
            if len(row) > at and row[at]:
                yield row[at]

    def _read_rows(self, stream: io.BufferedReader) -> Iterator[list[str]]:
        rows = csv.reader(line.decode("utf-8", "surrogateescape") for line in self._read_lines(stream))
        try:
            yield from rows
        except csv.Error as error:
            raise self._refuse(f"is not valid CSV in line {rows.line_num}: {error}") from error

    def _read_objects(self, stream: io.BufferedReader) -> Iterator[str]:
        column = self._column
        for number, line in enumerate(self._read_lines(stream), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._refuse(f"is not valid JSON in line {number}: {error}") from error
            if not isinstance(found, dict):
                raise self._refuse(f"has no JSON object in line {number}")
            if column is None or column not in found:
                column = self._choose_column(list(map(str, found)))
            if isinstance(found[column], str) and found[column]:
                yield found[column]
            elif found[column] is not None:
                raise self._refuse(f"has no string under {column!r} in line {number}")

    def _choose_column(self, names: list[str]) -> str:
        if self._column is not None:
            if self._column not in names:
                raise self._refuse(f"has no column {self._column!r}; it has {', '.join(map(repr, names)) or 'none'}")
            return self._column
        known = [name for name in names if name.lower() in KNOWN_COLUMNS]
        if not known:
            raise self._refuse(f"has the columns {', '.join(map(repr, names[:20]))}: choose one with --column")
        return known[0]

    def _read_lines(self, stream: io.BufferedReader) -> Iterator[bytes]:
        number, first = 0, True
        try:
            while line := stream.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise self._refuse(f"has more than {MAX_LINE:,} bytes in line {number}: it is not CSV or NDJSON")
                yield line.removeprefix(b"\xef\xbb\xbf") if first else line
                first = False
        except READ_ERRORS as error:
            raise self._refuse(f"cannot be read after line {number}: {error}") from error

    def _read_parquet(self) -> Iterator[str | ArchiveMember]:
        column = self._column or KNOWN_COLUMNS[2]
        for number, member in enumerate(self._read_by_process(PROCESS, column, "Parquet"), 1):
            name = str(member.name)
            if name.startswith("u"):
                yield name[1:]
            else:
                yield ArchiveMember(name[1:] or f"row {number}", member.data)

    def _read_by_process(self, module: str, argument: str, kind: str) -> Iterator[ArchiveMember]:
        """Yield the members that a process reads; raises SourceError, which names the row, if the file is damaged."""
        # The limits of archives in entries and total bytes do not apply to the rows of a table.
        limits = replace(self._limits, max_members=2**62, max_bytes=2**62)
        remote = self._open_remote() if is_in_bucket(self._name) else None
        with ExitStack() as opened:
            file = None if remote else opened.enter_context(self._open_file())
            size = None if remote is None else remote.size
            members = read_by_process(
                file,
                self._name,
                limits,
                module,
                [argument, json.dumps(size)],
                *find_libraries("pyarrow"),
                remote=remote,
            )
            for number, member in enumerate(members, 1):
                if member.name is None:
                    reason = f"cannot be read as {kind}" if number == 1 else f"is damaged in row {number}"
                    raise self._refuse(reason if member.data is None else member.data.decode("utf-8", "replace"))
                yield member

    def _read_inventory(self) -> Iterator[str]:
        """Yield the objects of an S3 inventory, without noncurrent versions and delete markers."""
        with ExitStack() as opened:
            data = self._open(opened).read(MAX_INVENTORY_BYTES)
        try:
            manifest = json.loads(data)
            bucket = manifest["destinationBucket"].rpartition(":")[2]
            files = [f"s3://{bucket}/{quote(each['key'])}" for each in manifest["files"]]
            kind = str(manifest.get("fileFormat", "CSV"))
            names = [name.strip() for name in str(manifest["fileSchema"]).split(",")]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._refuse(f"is not an inventory of S3: {error!r}") from error
        if kind not in INVENTORIES:
            raise self._refuse(f"is an inventory in the format {kind!r}: configure S3 for {', '.join(INVENTORIES)}")
        if kind == "CSV" and not {"Bucket", "Key"} <= set(names):
            raise self._refuse("is an inventory without the columns Bucket and Key: configure S3 to write them")
        for file in files:
            listed = Manifest(self._check(file), None, self._stdin, self._limits)
            yield from listed.read_inventory_rows(names) if kind == "CSV" else listed.read_inventory_table(kind)

    def read_inventory_rows(self, names: list[str]) -> Iterator[str]:
        """Yield the objects in one CSV file of an inventory, which has these columns; raises what `read` raises."""
        with ExitStack() as opened:
            for row in self._read_rows(self._open(opened)):
                found = dict(zip(names, row, strict=False))
                if found.get("IsLatest") != "false" and found.get("IsDeleteMarker") != "true" and "Key" in found:
                    # Only inventories in CSV have form-encoded keys.
                    yield f"s3://{found['Bucket']}/{quote(unquote_plus(found['Key']))}"

    def read_inventory_table(self, kind: str) -> Iterator[str]:
        """Yield the objects in one Parquet or ORC file of an inventory; raises what `read` raises."""
        for member in self._read_by_process(INVENTORY_PROCESS, kind, kind):
            yield str(member.name)[1:]

    def _open(self, opened: ExitStack) -> io.BufferedReader:
        """Return the manifest, decompressed; raises SourceError and SourceAwayError."""
        if is_in_bucket(self._name):
            with convert_store_errors(read_prefix(self._name)):
                try:
                    pieces = open_from_bucket(self._name).pieces
                except FileNotFoundError as error:
                    raise self._refuse("does not exist") from error
            stream: io.BufferedReader = io.BufferedReader(StreamedFile(pieces))
        elif self._name == "-":
            stream = cast(io.BufferedReader, self._stdin)
        else:
            stream = opened.enter_context(self._open_file())
        if stream.peek(len(GZIP)).startswith(GZIP):
            return io.BufferedReader(cast(io.RawIOBase, opened.enter_context(gzip.GzipFile(fileobj=stream))))
        return stream

    def _open_file(self) -> io.BufferedReader:
        try:
            return Path(self._name).open("rb")
        except OSError as error:
            raise self._refuse(f"cannot be read: {error.strerror or error}") from error

    def _open_remote(self) -> BucketArchive:
        try:
            return BucketArchive(read_prefix(self._name))
        except FileNotFoundError as error:
            raise self._refuse("does not exist") from error

    def _refuse(self, reason: str) -> SourceError:
        return SourceError(f"the manifest {self._name!r} {reason}")


class StreamedFile(io.RawIOBase):
    """A readable file over an iterator of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read the next bytes; raises what the iterator raises."""
        if not self._left:
            self._left = next(self._pieces, b"")
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
