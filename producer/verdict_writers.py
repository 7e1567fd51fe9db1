"""Verdicts as files that programs read, written as they come: NDJSON, CSV and Parquet."""

import csv
import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO

from storage.verdicts import RECORD_KEYS, Record

if TYPE_CHECKING:
    import pyarrow

# Rows of Parquet that are held until they are written together.
ROW_GROUP = 10_000


class VerdictWriter(Protocol):
    """Writes verdicts one by one as they come."""

    def write(self, verdicts: Iterable[Record]) -> None:
        """Write these verdicts now."""

    def close(self) -> None:
        """Write what belongs behind the last one; the stream stays open."""


class NdjsonWriter:
    """One JSON object a line, in ASCII."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, verdicts: Iterable[Record]) -> None:
        """Write these verdicts now."""
        for verdict in verdicts:
            self._stream.write(json.dumps(verdict) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Write nothing: each line stands on its own."""


class CsvWriter:
    """Comma-separated values under a header; what was hidden stands in them as it is, quoted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = csv.DictWriter(stream, RECORD_KEYS, lineterminator="\n")
        self._rows.writeheader()

    def write(self, verdicts: Iterable[Record]) -> None:
        """Write these verdicts now."""
        self._rows.writerows(verdicts)
        self._stream.flush()

    def close(self) -> None:
        """Write nothing: each line stands on its own."""


class ParquetWriter:
    """Parquet, in groups of rows: memory holds one. Times are timestamps, other columns as in JSON."""

    def __init__(self, stream: BinaryIO) -> None:
        # Here, not above: it takes longer to import than most commands take to run.
        import pyarrow
        from pyarrow import parquet

        self._schema = _schema()
        self._table = pyarrow.Table
        self._rows: list[Record] = []
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, verdicts: Iterable[Record]) -> None:
        """Write these verdicts once enough have come."""
        self._rows.extend({**each, "scanned_at": datetime.fromisoformat(each["scanned_at"])} for each in verdicts)
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


def _schema() -> "pyarrow.Schema":
    import pyarrow

    kinds = {
        "ordinal": pyarrow.int32(), "is_stego": pyarrow.bool_(), "stego_probability": pyarrow.float64(),
        "confidence": pyarrow.float64(), "threshold": pyarrow.float64(), "width": pyarrow.int32(),
        "height": pyarrow.int32(), "size_bytes": pyarrow.int64(), "reused": pyarrow.bool_(),
        "scanned_at": pyarrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in RECORD_KEYS])
