"""Verdicts for programs, complete: NDJSON, CSV and Parquet."""

import csv
import io
import json
from dataclasses import replace

from pyarrow import parquet

from producer.verdict_writers import (
    ROW_GROUP,
    ROW_GROUP_CHARACTERS,
    CsvWriter,
    NdjsonWriter,
    ParquetWriter,
)
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS
from tests.kit.verdicts import ARCHIVE, CLEAN, FAILED, HOSTILE, LISTED, STEGO, make_verdict, print_verdicts


def test_ndjson_is_one_whole_object_a_line() -> None:
    text = print_verdicts(NdjsonWriter, CLEAN, STEGO, FAILED)

    lines = text.splitlines()
    assert [json.loads(line) for line in lines] == [to_json(each) for each in (CLEAN, STEGO, FAILED)]
    assert list(json.loads(lines[0])) == list(VERDICT_KEYS)
    assert text.endswith("}\n")


def test_ndjson_keeps_what_was_hidden_and_shows_no_control_character() -> None:
    text = print_verdicts(NdjsonWriter, make_verdict(extracted_message=HOSTILE))

    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["extracted_message"] == HOSTILE


def test_csv_has_a_header_and_a_row_for_each_verdict() -> None:
    header, *rows = csv.reader(io.StringIO(print_verdicts(CsvWriter, CLEAN, FAILED)))

    assert header == list(VERDICT_KEYS)
    assert rows == [
        ["" if value is None else str(value) for value in to_json(each).values()] for each in (CLEAN, FAILED)
    ]


def test_csv_has_a_payload_as_json_in_one_cell() -> None:
    (row,) = csv.DictReader(io.StringIO(print_verdicts(CsvWriter, ARCHIVE)))

    assert json.loads(row["payload"]) == to_json(LISTED)


def test_csv_keeps_what_was_hidden() -> None:
    text = print_verdicts(CsvWriter, make_verdict(extracted_message=HOSTILE), CLEAN)

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["extracted_message"] for row in rows] == [HOSTILE, ""]


def test_csv_without_verdicts_is_its_header() -> None:
    assert print_verdicts(CsvWriter) == ",".join(VERDICT_KEYS) + "\n"


def test_parquet_has_the_same_values_in_typed_columns_and_holds_one_group_of_rows() -> None:
    stream = io.BytesIO()
    output = ParquetWriter(stream)
    many = [replace(CLEAN, ordinal=ordinal) for ordinal in range(2 * ROW_GROUP)]
    sizes = []
    for first in range(0, len(many), 1000):
        output.write(many[first : first + 1000])
        sizes.append(stream.tell())
    output.write([STEGO, ARCHIVE, FAILED])
    output.close()

    file = parquet.ParquetFile(stream)
    rows = file.read().to_pylist()
    assert tuple(rows[0]) == VERDICT_KEYS
    written = [{**row, "scanned_at": row["scanned_at"].isoformat()} for row in rows]
    assert written == [to_json(each) for each in (*many, STEGO, ARCHIVE, FAILED)]
    assert file.num_row_groups == 3
    # A group is written with the row that completes it, neither earlier nor at the end.
    assert [first for first in range(1, len(sizes)) if sizes[first] > sizes[first - 1]] == [9, 19]


def test_parquet_holds_no_more_text_than_a_group_may_have() -> None:
    stream = io.BytesIO()
    output = ParquetWriter(stream)
    output.write([replace(STEGO, extracted_message="m" * (ROW_GROUP_CHARACTERS // 2))] * 5)
    output.close()

    assert parquet.ParquetFile(stream).num_row_groups == 2


def test_parquet_without_verdicts_has_its_columns() -> None:
    stream = io.BytesIO()
    ParquetWriter(stream).close()

    table = parquet.read_table(stream)
    assert (tuple(table.column_names), table.num_rows) == (VERDICT_KEYS, 0)
