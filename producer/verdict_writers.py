"""Writers of verdicts as NDJSON, CSV and Parquet."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO, get_args, get_origin, get_type_hints

from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS, Verdict

if TYPE_CHECKING:
    import pyarrow
    from _typeshed import DataclassInstance

# A row group of Parquet is held in memory until it has so many rows, or characters of extracted messages.
ROW_GROUP = 10_000
ROW_GROUP_CHARACTERS = 16 * 2**20
# Columns that need 64 bits; all other integers fit into 32.
WIDE = ("size_bytes", "size")


class VerdictWriter(Protocol):
    """Writes verdicts to a stream."""

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts, possibly later together with others."""

    def close(self) -> None:
        """Write everything that is left; the stream stays open."""


class NdjsonWriter:
    """One JSON object per line, in ASCII."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts now."""
        for verdict in verdicts:
            self._stream.write(json.dumps(to_json(verdict)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: the format has no footer."""


class CsvWriter:
    """Comma-separated values with a header; texts are written as `write_text` returns them, by default unchanged."""

    def __init__(self, stream: TextIO, write_text: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._write_text = write_text
        self._rows = csv.DictWriter(stream, VERDICT_KEYS, lineterminator="\n")
        self._rows.writeheader()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts now."""
        for verdict in verdicts:
            self._rows.writerow({key: self._write_cell(cell) for key, cell in to_json(verdict).items()})
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: the format has no footer."""

    def _write_cell(self, cell: object) -> object:
        # Structured values become JSON in one cell.
        text = json.dumps(cell) if isinstance(cell, dict) else cell
        return self._write_text(text) if isinstance(text, str) else text


class ParquetWriter:
    """Parquet; one row group is in memory. Times are timestamps, nested values structs, the rest is as in JSON."""

    def __init__(self, stream: BinaryIO) -> None:
        # Imported here: the import takes longer than most commands run.
        import pyarrow
        from pyarrow import parquet

        self._schema = build_schema()
        self._table = pyarrow.Table
        self._rows: list[dict[str, Any]] = []
        self._characters = 0
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Add these verdicts to the row group, and write it when it is full."""
        for verdict in verdicts:
            self._rows.append({**to_json(verdict), "scanned_at": verdict.scanned_at})
            self._characters += len(verdict.extracted_message or "")
            if self._characters > ROW_GROUP_CHARACTERS:
                self._write_group()
        if len(self._rows) >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rest and the footer, without which the file is not valid."""
        if self._rows:
            self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table.from_pylist(self._rows, self._schema))
        self._rows.clear()
        self._characters = 0


def build_schema() -> "pyarrow.Schema":
    """Return the Parquet schema of the record `Verdict`."""
    import pyarrow

    return pyarrow.schema(_list_fields(Verdict))


def _list_fields(record: "type[DataclassInstance]") -> list[tuple[str, "pyarrow.DataType"]]:
    import pyarrow

    hints = get_type_hints(record)
    return [
        (field.name, pyarrow.int64() if field.name in WIDE else _find_type(hints[field.name]))
        for field in fields(record)
    ]


def _find_type(hint: Any) -> "pyarrow.DataType":  # noqa: ANN401 - any annotation
    import pyarrow

    if isinstance(hint, UnionType):
        return _find_type(next(kind for kind in get_args(hint) if kind is not NoneType))
    if get_origin(hint) is list:
        return pyarrow.list_(_find_type(*get_args(hint)))
    if isinstance(hint, type) and is_dataclass(hint):
        return pyarrow.struct(_list_fields(hint))
    kinds = {
        bool: pyarrow.bool_(), int: pyarrow.int32(), float: pyarrow.float64(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return kinds.get(hint, pyarrow.string())
