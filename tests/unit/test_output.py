"""Printing verdicts and jobs: each format has its writer, and nothing on a terminal steers it."""

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from producer.cli.errors import UsageError
from producer.cli.output import Format, TableWriter, check_printable, open_writer, shorten, summarise_job
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import FORMULA_STARTS
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import Job
from starlight_vocabulary.words import JobState
from tests.kit.verdicts import CLEAN, FAILED, HOSTILE, JOB, NOON, STEGO, make_verdict, print_verdicts


def status(**changes: Any) -> Job:
    fields = {
        "id": JOB, "name": None, "submitter": "tester", "priority": "bulk", "state": "done",
            "threshold": None, "retry_of": None, "total": 1000, "finished": 1000,
        "clean": 990, "stego": 9, "error": 1, "created_at": NOON, "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=30),
    }  # fmt: skip
    return Job(**{**fields, **changes})


@pytest.mark.parametrize("chosen", [Format.CSV, Format.SPREADSHEET])
def test_csv_on_a_terminal_steers_nothing(
    chosen: Format, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    open_writer(chosen).write([make_verdict(extracted_message=HOSTILE)])

    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_for_a_spreadsheet_is_a_formula(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    formula = f'{start}HYPERLINK("https://evil.example")'

    open_writer(Format.SPREADSHEET).write([make_verdict(extracted_message=formula, uri=formula), CLEAN])

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

    text = print_verdicts(TableWriter, unknown)

    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())


def test_parquet_is_refused_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_printable(Format.PARQUET) is Format.PARQUET
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert check_printable(Format.CSV) is Format.CSV
    with pytest.raises(UsageError, match="redirect it to a file"):
        check_printable(Format.PARQUET)


def test_the_table_has_aligned_columns() -> None:
    header, *rows = print_verdicts(TableWriter, CLEAN, STEGO, FAILED).splitlines()

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

    text = print_verdicts(TableWriter, make_verdict(**changes, **{field: HOSTILE}))

    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())


def test_a_long_row_stays_on_one_line_where_it_is_no_terminal() -> None:
    text = print_verdicts(TableWriter, make_verdict(outcome="stego", extracted_message="m" * 4000))

    assert len(text.splitlines()) == 2
    assert "m" * 4000 in text


def test_of_a_long_name_the_table_shows_the_end() -> None:
    text = print_verdicts(TableWriter, make_verdict(uri=f"file:///{'folder/' * 20}image.png"))

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
        ({"state": JobState.CANCELLED}, "1,000 images: 990 clean, 9 stego, 1 error"),
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
