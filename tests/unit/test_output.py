"""Printing verdicts: complete for programs, aligned and harmless for people."""

import csv
import io
import json
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from producer.cli.errors import UsageError
from producer.cli.output import (
    Format,
    TableWriter,
    check_printable,
    open_writer,
    shorten,
    summarise_job,
)
from producer.verdict_writers import (
    ROW_GROUP,
    ROW_GROUP_CHARACTERS,
    CsvWriter,
    NdjsonWriter,
    ParquetWriter,
    VerdictWriter,
)
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import FORMULA_STARTS
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import Job
from starlight_vocabulary.payload import Member, PayloadKind
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS, Verdict
from storage.verdicts import read_verdict
from tests.kit.payloads import make_payload

JOB = uuid.UUID("01890000-0000-7000-8000-000000000001")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
README = Path(__file__).parents[2] / "README.md"
HOSTILE = 'a,"b"\r\n\x1b[31mred\x07 \u202eleft\u2028 ü世🌍 =1+1 [bold]'


def verdict(**changes: Any) -> Verdict:
    """Return a verdict as the database returns it, clean unless changed."""
    row = {
        "job_id": JOB,
        "ordinal": 3,
        "uri": "file:///images/a%20b.png",
        "sha256": bytes(range(32)),
        "outcome": "clean",
        "stego_probability": 0.25,
        "method": None,
        "bit_order": None,
        "extracted_message": None,
        "payload": None,
        "error_code": None,
        "error_detail": None,
        "model_name": "starlight",
        "model_version": "4.0",
        "model_sha256": "ab" * 32,
        "threshold": 0.5,
        "width": 9,
        "height": 5,
        "format": "PNG",
        "size_bytes": 1234,
        "reused": False,
        "scanned_at": NOON,
    }
    return read_verdict({**row, **changes})  # type: ignore[arg-type]


CLEAN = verdict()
LISTED = make_payload(kind=PayloadKind.ZIP, size=2**33, text=None, listing=[Member("ü.txt", 2**40)], encoding=None)
STEGO = verdict(
    outcome="stego", stego_probability=0.9876, method="lsb.rgb", bit_order="msb-first", extracted_message="hello",
    payload=to_json(make_payload(text="")),
)  # fmt: skip
ARCHIVE = verdict(outcome="stego", method="raw", extracted_message=LISTED.to_message(), payload=to_json(LISTED))
FAILED = verdict(
    outcome="error", error_code="truncated", error_detail="it ends early", stego_probability=None, sha256=None,
    model_sha256=None, threshold=None, width=None, height=None, format=None, size_bytes=None,
)  # fmt: skip


def printed(kind: type, *verdicts: Verdict) -> str:
    stream = io.StringIO()
    output: VerdictWriter = kind(stream)
    output.write(verdicts[:1])
    output.write(verdicts[1:])
    return stream.getvalue()


def status(**changes: Any) -> Job:
    fields = {
        "id": JOB, "name": None, "submitter": "tester", "priority": "bulk", "state": "done",
            "threshold": None, "retry_of": None, "total": 1000, "finished": 1000,
        "clean": 990, "stego": 9, "error": 1, "created_at": NOON, "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=30),
    }  # fmt: skip
    return Job(**{**fields, **changes})


def test_a_record_has_the_names_of_the_interface_in_their_order() -> None:
    promised = (
        "job_id, ordinal, uri, sha256, outcome, is_stego, stego_probability, confidence, prediction, stego_type, "
        "bit_order, extracted_message, error_code, error_detail, model, threshold, width, height, format, size_bytes, "
        "reused, scanned_at, payload"
    )

    for each in (CLEAN, STEGO, FAILED):
        assert tuple(to_json(each)) == VERDICT_KEYS == tuple(promised.split(", "))


def test_the_readme_explains_every_key() -> None:
    table = README.read_text(encoding="utf-8").partition("| key | meaning |")[2].partition("\n\n")[0]
    keys = " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE))

    assert sorted(re.findall(r"`(\w+)`", keys)) == sorted(VERDICT_KEYS)


def test_a_score_is_told_in_all_its_forms() -> None:
    assert (CLEAN.is_stego, CLEAN.prediction, CLEAN.confidence) == (False, "clean", 0.75)
    assert (STEGO.is_stego, STEGO.prediction, STEGO.confidence) == (True, "stego", 0.9876)
    assert STEGO.stego_type == "lsb.rgb"
    assert CLEAN.model == f"starlight-4.0@sha256:{'ab' * 32}"
    assert CLEAN.sha256 == bytes(range(32)).hex()
    assert to_json(CLEAN)["scanned_at"] == "2026-11-23T12:00:00+00:00"


def test_what_has_no_score_claims_none() -> None:
    resting_on_a_score = ("is_stego", "stego_probability", "confidence", "prediction", "model", "threshold")

    assert [getattr(FAILED, name) for name in resting_on_a_score] == [None] * len(resting_on_a_score)


def test_ndjson_is_one_whole_object_a_line() -> None:
    text = printed(NdjsonWriter, CLEAN, STEGO, FAILED)

    lines = text.splitlines()
    assert [json.loads(line) for line in lines] == [to_json(each) for each in (CLEAN, STEGO, FAILED)]
    assert list(json.loads(lines[0])) == list(VERDICT_KEYS)
    assert text.endswith("}\n")


def test_ndjson_keeps_what_was_hidden_and_shows_no_control_character() -> None:
    text = printed(NdjsonWriter, verdict(extracted_message=HOSTILE))

    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["extracted_message"] == HOSTILE


def test_csv_has_a_header_and_a_row_for_each_verdict() -> None:
    header, *rows = csv.reader(io.StringIO(printed(CsvWriter, CLEAN, FAILED)))

    assert header == list(VERDICT_KEYS)
    assert rows == [
        ["" if value is None else str(value) for value in to_json(each).values()] for each in (CLEAN, FAILED)
    ]


def test_csv_has_a_payload_as_json_in_one_cell() -> None:
    (row,) = csv.DictReader(io.StringIO(printed(CsvWriter, ARCHIVE)))

    assert json.loads(row["payload"]) == to_json(LISTED)


def test_csv_keeps_what_was_hidden() -> None:
    text = printed(CsvWriter, verdict(extracted_message=HOSTILE), CLEAN)

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["extracted_message"] for row in rows] == [HOSTILE, ""]


@pytest.mark.parametrize("chosen", [Format.CSV, Format.SPREADSHEET])
def test_csv_on_a_terminal_steers_nothing(
    chosen: Format, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    open_writer(chosen).write([verdict(extracted_message=HOSTILE)])

    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_for_a_spreadsheet_is_a_formula(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    formula = f'{start}HYPERLINK("https://evil.example")'

    open_writer(Format.SPREADSHEET).write([verdict(extracted_message=formula, uri=formula), CLEAN])

    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert first["extracted_message"] == first["uri"] == f"'{formula}"
    assert first["stego_probability"] == second["stego_probability"] == "0.25"
    assert second["uri"] == CLEAN.uri


def test_numbers_below_zero_stay_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    open_writer(Format.SPREADSHEET).write([replace(CLEAN, threshold=-0.5)])

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["threshold"] == "-0.5"


def test_words_of_a_server_that_this_code_does_not_know_steer_no_terminal() -> None:
    unknown = replace(STEGO, outcome=HOSTILE, stego_type=HOSTILE, bit_order=HOSTILE)  # type: ignore[arg-type]

    text = printed(TableWriter, unknown)

    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())


def test_csv_without_verdicts_is_its_header() -> None:
    assert printed(CsvWriter) == ",".join(VERDICT_KEYS) + "\n"


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


def test_the_text_of_a_payload_is_the_message() -> None:
    assert STEGO.payload == make_payload()
    assert ARCHIVE.payload == LISTED
    assert ARCHIVE.extracted_message == "zip archive, 8,589,934,592 bytes, ü.txt (1,099,511,627,776 bytes)"


def test_parquet_without_verdicts_has_its_columns() -> None:
    stream = io.BytesIO()
    ParquetWriter(stream).close()

    table = parquet.read_table(stream)
    assert (tuple(table.column_names), table.num_rows) == (VERDICT_KEYS, 0)


def test_parquet_is_refused_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_printable(Format.PARQUET) is Format.PARQUET
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert check_printable(Format.CSV) is Format.CSV
    with pytest.raises(UsageError, match="redirect it to a file"):
        check_printable(Format.PARQUET)


def test_the_table_has_aligned_columns() -> None:
    header, *rows = printed(TableWriter, CLEAN, STEGO, FAILED).splitlines()

    assert header.split() == ["OUTCOME", "P(STEGO)", "METHOD", "BIT", "ORDER", "IMAGE", "MESSAGE", "OR", "REASON"]
    starts = [header.index(title) for title in ("OUTCOME", "P(STEGO)", "METHOD", "BIT ORDER", "IMAGE", "MESSAGE")]
    cells = [[row[start:stop].strip() for start, stop in zip(starts, [*starts[1:], None], strict=True)] for row in rows]
    assert cells == [
        ["clean", "0.2500", "", "", "/images/a b.png", ""],
        ["stego", "0.9876", "lsb.rgb", "msb-first", "/images/a b.png", "hello"],
        ["error", "", "", "", "/images/a b.png", "truncated: it ends early"],
    ]


@pytest.mark.parametrize("field", ["uri", "extracted_message", "error_detail"])
def test_nothing_in_the_table_can_steer_a_terminal_or_break_a_line(field: str) -> None:
    changes = {"outcome": "error", "error_code": "corrupt"} if field == "error_detail" else {}

    text = printed(TableWriter, verdict(**changes, **{field: HOSTILE}))

    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())


def test_a_long_row_stays_on_one_line_where_it_is_no_terminal() -> None:
    text = printed(TableWriter, verdict(outcome="stego", extracted_message="m" * 4000))

    assert len(text.splitlines()) == 2
    assert "m" * 4000 in text


def test_of_a_long_name_the_table_shows_the_end() -> None:
    text = printed(TableWriter, verdict(uri=f"file:///{'folder/' * 20}image.png"))

    assert "…" in text
    assert "folder/image.png" in text


def test_the_command_prints_every_format_of_an_export() -> None:
    assert [each.value for each in Format] == ["table", *ExportFormat, "spreadsheet"]


@pytest.mark.parametrize("chosen", list(Format))
def test_each_format_has_its_writer(chosen: Format, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = open_writer(chosen)
    output.write([CLEAN])
    output.close()

    last = capfdbinary.readouterr().out.splitlines()[-1]
    assert {
        "table": last.startswith(b"clean "),
        "ndjson": last.startswith(b"{"),
        "csv": last.startswith(f"{JOB},3,".encode()),
        "parquet": last.endswith(b"PAR1"),
        "spreadsheet": last.startswith(f"{JOB},3,".encode()),
    }[chosen]


@pytest.mark.parametrize(
    ("name", "shown"), [("", ""), ("12345", "12345"), ("123456", "…3456"), ("1234567890", "…7890")]
)
def test_names_are_shortened_at_their_start(name: str, shown: str) -> None:
    assert shorten(name, 5) == shown


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "1,000 images: 990 clean, 9 stego, 1 error; 30.0 s, 2,000 images/min"),
        (
            {"finished": 1, "clean": 1, "stego": 0, "error": 0},
            "1 image: 1 clean, 0 stego, 0 errors; 30.0 s, 2 images/min",
        ),
        ({"finished_at": None}, "1,000 images: 990 clean, 9 stego, 1 error"),
        ({"started_at": None}, "1,000 images: 990 clean, 9 stego, 1 error"),
        ({"finished_at": NOON}, "1,000 images: 990 clean, 9 stego, 1 error"),
        ({"finished_at": NOON - timedelta(seconds=1)}, "1,000 images: 990 clean, 9 stego, 1 error"),
    ],
)
def test_a_job_is_summed_up_in_a_line(changes: dict[str, Any], line: str) -> None:
    assert summarise_job(status(**changes)) == line


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1_234_567, "1,234,567 images")]
)
def test_counts_have_their_noun(count: int, text: str) -> None:
    assert format_count(count, "image") == text
