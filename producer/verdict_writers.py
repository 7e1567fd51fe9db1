"""Verdicts as files that programs read, written as they come: NDJSON, CSV and Parquet."""

import csv
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO, get_args, get_type_hints

from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS, Verdict

if TYPE_CHECKING:
    import pyarrow

# Rows of Parquet that are held until they are written together.
ROW_GROUP = 10_000


class VerdictWriter(Protocol):
    """Writes verdicts one by one as they come."""

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts now."""

    def close(self) -> None:
        """Write what belongs behind the last one; the stream stays open."""


class NdjsonWriter:
    """One JSON object a line, in ASCII."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts now."""
        for verdict in verdicts:
            self._stream.write(json.dumps(to_json(verdict)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Write nothing: each line stands on its own."""


class CsvWriter:
    """Comma-separated values under a header; what was hidden stands in them as it is, or as `write_text` returns it."""

    def __init__(self, stream: TextIO, write_text: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._write_text = write_text
        self._rows = csv.DictWriter(stream, VERDICT_KEYS, lineterminator="\n")
        self._rows.writeheader()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts now."""
        for verdict in verdicts:
            cells = to_json(verdict)
            self._rows.writerow(
                {key: self._write_text(cell) if isinstance(cell, str) else cell for key, cell in cells.items()}
            )
        self._stream.flush()

    def close(self) -> None:
        """Write nothing: each line stands on its own."""


class ParquetWriter:
    """Parquet, in groups of rows: memory holds one. Times are timestamps, other columns as in JSON."""

    def __init__(self, stream: BinaryIO) -> None:
        # Here, not above: it takes longer to import than most commands take to run.
        import pyarrow
        from pyarrow import parquet

        self._schema = build_schema()
        self._table = pyarrow.Table
        self._rows: list[dict[str, Any]] = []
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts once enough have come."""
        self._rows.extend({**to_json(verdict), "scanned_at": verdict.scanned_at} for verdict in verdicts)
        if len(self._rows) >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rest and the footer, without which it is no Parquet."""
        if self._rows:
            self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table.from_pylist(self._rows, self._schema))
        self._rows.clear()


def build_schema() -> "pyarrow.Schema":
    """Return the columns of verdicts, typed as the record is."""
    import pyarrow

    kinds = {
        bool: pyarrow.bool_(), int: pyarrow.int32(), float: pyarrow.float64(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    # Files may be larger than 32 bits can say; everything else that is counted is not.
    wide = {"size_bytes": pyarrow.int64()}
    hints = get_type_hints(Verdict)
    inner = {name: next(iter(get_args(hints[name])), hints[name]) for name in VERDICT_KEYS}
    return pyarrow.schema([(name, wide.get(name, kinds.get(kind, pyarrow.string()))) for name, kind in inner.items()])
