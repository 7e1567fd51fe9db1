"""Exports: the contents of their files, other programs that read them, and continuing after an interruption."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from producer.export_manifest import ExportError, Manifest
from producer.exporting import Export, ExportOptions
from research.filling import fill_verdicts
from starlight_vocabulary.exports import MANIFEST
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS, Verdict
from starlight_vocabulary.words import Outcome
from storage.database import connect
from storage.exports import read_settled_time
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.databases import copy_database
from tests.kit.object_store import ObjectStore
from tests.kit.rows import execute

VERDICTS = 2500
OPTIONS = ExportOptions(VerdictFilter(), ExportFormat.PARQUET, rows_of_a_file=700)
BY_DAY = replace(OPTIONS, partition_by="day")


class BrokenOffError(Exception):
    """Interrupts an export."""


@pytest.fixture(scope="module")
def filled(session_servers: tuple[str, str]) -> Iterator[Engine]:
    with copy_database(session_servers[0]) as url:
        engine = connect(url)
        fill_verdicts(engine, VERDICTS, days=2)
        yield engine
        engine.dispose()


def list_oldest(engine: Engine, **wanted: Any) -> list[Verdict]:
    """Return the expected verdicts of an export, in order."""
    found = find_verdicts(engine, VerdictFilter(**wanted))
    return sorted(found, key=lambda each: (each.scanned_at, each.job_id, each.ordinal))


def break_off_after(files: int) -> Callable[[Manifest], None]:
    def break_off(manifest: Manifest) -> None:
        if len(manifest.files) == files:
            raise BrokenOffError

    return break_off


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check that the files match the manifest, and that there are no others."""
    for each in manifest.files:
        data = (folder / each.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size_bytes, each.sha256)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {MANIFEST, *(each.path for each in manifest.files)}
    assert json.loads((folder / MANIFEST).read_bytes())["rows"] == sum(each.rows for each in manifest.files)


def test_duckdb_pandas_and_polars_read_what_was_exported(filled: Engine, tmp_path: Path) -> None:
    # Imported here: every test process imports this module, but only one runs this test.
    import duckdb
    import pandas as pd
    import polars as pl

    manifest = Export(filled, tmp_path.as_uri(), BY_DAY).run()

    expected = list_oldest(filled)
    keys = [(str(each.job_id), each.ordinal, each.stego_probability) for each in expected]
    days = Counter(str(each.scanned_at.astimezone(UTC).date()) for each in expected)
    assert manifest.complete
    assert len(days) > 1
    check_files(tmp_path, manifest)
    everything = f"{tmp_path}/**/*.parquet"

    in_duckdb = duckdb.execute(f"""
        SELECT job_id, ordinal, stego_probability, day FROM read_parquet('{everything}', hive_partitioning = true)
        ORDER BY scanned_at, job_id, ordinal
    """).fetchall()
    assert [row[:3] for row in in_duckdb] == keys
    assert Counter(str(row[3]) for row in in_duckdb) == days

    in_polars = pl.read_parquet(everything, hive_partitioning=True).sort("scanned_at", "job_id", "ordinal")
    assert in_polars.select("job_id", "ordinal", "stego_probability").rows() == keys
    assert in_polars.schema["scanned_at"] == pl.Datetime("us", "UTC")

    in_pandas = pd.read_parquet(tmp_path)
    assert [*VERDICT_KEYS, "day"] == list(in_pandas.columns)
    assert Counter(in_pandas["day"].astype(str)) == days
    assert Counter(in_pandas["outcome"]) == Counter(each.outcome.value for each in expected)


@pytest.mark.parametrize("chosen", [ExportFormat.NDJSON, ExportFormat.CSV])
def test_files_of_text_hold_the_same_and_each_csv_has_its_header(
    filled: Engine, tmp_path: Path, chosen: ExportFormat
) -> None:
    import duckdb

    manifest = Export(filled, tmp_path.as_uri(), replace(OPTIONS, format=chosen)).run()

    check_files(tmp_path, manifest)
    paths = sorted(tmp_path.glob(f"*{chosen.suffixes[0]}"))
    assert [each.rows for each in manifest.files] == [700, 700, 700, 400]
    expected = list_oldest(filled)
    if chosen is ExportFormat.NDJSON:
        lines = [json.loads(line) for path in paths for line in path.read_text("ascii").splitlines()]
        assert lines == [to_json(each) for each in expected]
    rows = duckdb.execute(f"SELECT job_id, ordinal, uri FROM '{tmp_path}/*{chosen.suffixes[0]}'").fetchall()
    assert sorted((str(job), ordinal, uri) for job, ordinal, uri in rows) == sorted(
        (str(each.job_id), each.ordinal, each.uri) for each in expected
    )


@pytest.mark.parametrize("options", [OPTIONS, BY_DAY], ids=["whole", "by day"])
def test_an_export_that_is_broken_off_goes_on_behind_its_last_file(
    filled: Engine, tmp_path: Path, options: ExportOptions
) -> None:
    whole = Export(filled, (tmp_path / "whole").as_uri(), options).run()

    for files in range(len(whole.files)):
        folder = tmp_path / f"broken-{files}"
        with pytest.raises(BrokenOffError):
            Export(filled, folder.as_uri(), options).run(break_off_after(files))
        # The file that was being written may exist, complete or not; the manifest names it.
        begun = Manifest.from_json((folder / MANIFEST).read_bytes()) if files else None
        if begun:
            stray = folder / "part-000099.parquet"
            stray.write_bytes(b"part of it")
            begun.writing = stray.name
            (folder / MANIFEST).write_bytes(begun.to_json())

        continued = Export(filled, folder.as_uri(), options).run()

        assert continued.files == whole.files
        assert begun is None or continued.until == begun.until
        check_files(folder, continued)
        assert Export(filled, folder.as_uri(), options).run().files == whole.files


def test_another_export_is_not_gone_on_with(filled: Engine, tmp_path: Path) -> None:
    Export(filled, tmp_path.as_uri(), OPTIONS).run()

    for other, what in (
        (replace(OPTIONS, format=ExportFormat.CSV), "format"),
        (BY_DAY, "partition_by"),
        (replace(OPTIONS, wanted=VerdictFilter(outcome=Outcome.STEGO)), "outcome"),
    ):
        with pytest.raises(ExportError, match=f"differs in {what}:"):
            Export(filled, tmp_path.as_uri(), other).run()
    manifest = json.loads((tmp_path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "columns": ["uri"]}))
    with pytest.raises(ExportError, match="another release"):
        Export(filled, tmp_path.as_uri(), OPTIONS).run()
    for damaged in ("", "{}", "[]", json.dumps({**manifest, "next": {"ordinal": 1}})):
        (tmp_path / MANIFEST).write_text(damaged)
        with pytest.raises(ExportError, match="not the manifest of an export"):
            Export(filled, tmp_path.as_uri(), OPTIONS).run()


def test_filters_narrow_an_export_and_nothing_found_is_an_export_too(filled: Engine, tmp_path: Path) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    narrowed = VerdictFilter(outcome=Outcome.STEGO, since=since, submitter="submitter 3")

    some = Export(filled, (tmp_path / "some").as_uri(), replace(OPTIONS, wanted=narrowed)).run()
    none = Export(
        filled, (tmp_path / "none").as_uri(), replace(OPTIONS, wanted=VerdictFilter(submitter="nobody"))
    ).run()

    assert some.rows == len(list_oldest(filled, outcome=Outcome.STEGO, since=since, submitter="submitter 3")) > 0
    assert (none.rows, none.files, none.complete) == (0, [], True)


def test_an_object_store_takes_an_export(filled: Engine, object_store: ObjectStore) -> None:
    url = f"{object_store.url}/exports/june"

    with pytest.raises(BrokenOffError):
        Export(filled, url, OPTIONS).run(break_off_after(2))
    manifest = Export(filled, url, OPTIONS).run()

    stored = {path.removeprefix("/bucket/exports/june/"): data for path, data in object_store.objects.items()}
    assert set(stored) == {MANIFEST, *(each.path for each in manifest.files)}
    assert all(hashlib.sha256(stored[each.path]).hexdigest() == each.sha256 for each in manifest.files)
    assert manifest.rows == VERDICTS


def test_an_export_ends_before_what_may_still_be_stored(engine: Engine, tmp_path: Path) -> None:
    with engine.connect() as storing:
        began = storing.execute(text("SELECT now()")).scalar_one()
        execute(engine, "INSERT INTO jobs (submitter, priority, total) VALUES ('ann', 'bulk', 1)")

        assert read_settled_time(engine) == began
        assert Export(engine, tmp_path.as_uri(), OPTIONS).run().until == began
    assert read_settled_time(engine) > began
