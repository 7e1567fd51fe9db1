"""`starlight scan` as a new user meets it: first without any server, then beside a running stack."""

import csv
import os
import tarfile
import zipfile
from collections import Counter
from io import StringIO
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from storage.verdicts import RECORD_KEYS
from tests.acceptance.command import records, starlight
from tests.acceptance.conftest import RunningStack
from tests.acceptance.pictures import MESSAGE, draw, encoded, hostile_folder, stego_files

ALL_CLEAN, STEGO_FOUND, SOME_ERRORS = 0, 1, 2


def test_a_folder_goes_in_and_every_image_comes_out_as_one_verdict(data_dir: Path, tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)

    run = starlight(
        "scan", tmp_path, "--format", "ndjson", "--ordered", settings={"data_dir": data_dir, "max_image_bytes": 2**21}
    )

    found = records(run)
    assert run.returncode == SOME_ERRORS, run.stderr
    assert {unquote_to_bytes(urlsplit(each["uri"]).path).rpartition(b"/")[2]: each["error_code"] for each in found} == (
        expected
    )
    assert [each["ordinal"] for each in found] == list(range(len(expected)))
    assert all(tuple(each) == RECORD_KEYS for each in found)
    (job_id,) = {each["job_id"] for each in found}
    audit = starlight("audit", job_id, settings={"data_dir": data_dir})
    assert (audit.returncode, audit.stdout) == (
        0, f"{job_id}: {len(expected)} references, {len(expected)} verdicts, 0 missing, 0 double\n"
    )  # fmt: skip


def test_hidden_messages_are_found_and_shown(stack: RunningStack, tmp_path: Path) -> None:
    for name, data in stego_files().items():
        (tmp_path / name).write_bytes(data)

    run = starlight("scan", tmp_path, "--format", "ndjson", settings=stack.settings)

    assert run.returncode == STEGO_FOUND, run.stderr
    found = {Path(each["uri"]).stem: each for each in records(run)}
    assert {name: each["stego_type"] for name, each in found.items()} == {
        name: name for name in ("alpha", "lsb.rgb", "exif", "raw")
    }
    assert {each["extracted_message"] for each in found.values()} == {MESSAGE}
    assert all(each["is_stego"] and each["prediction"] == "stego" and each["model"] for each in found.values())


def test_archives_lists_globs_and_clean_images(stack: RunningStack, tmp_path: Path) -> None:
    picture = encoded(draw(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(picture)
    (tmp_path / "b.jpg").write_bytes(picture)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("inside/z.jpg", picture)
    with tarfile.open(tmp_path / "pictures.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.jpg", "../t.jpg")
    listed = os.fsencode(tmp_path / "a.jpg") + b"\0" + os.fsencode(tmp_path / "b.jpg")

    run = starlight(
        "scan", "-0", tmp_path / "*.jpg", tmp_path / "pictures.zip", tmp_path / "pictures.tar.gz", "-",
        "--format", "csv", "--ordered", settings=stack.settings, stdin=listed,
    )  # fmt: skip

    assert run.returncode == ALL_CLEAN, run.stderr
    rows = list(csv.DictReader(StringIO(run.stdout)))
    assert tuple(rows[0]) == RECORD_KEYS
    assert [row["uri"].rpartition("/")[2] for row in rows] == ["a.jpg", "b.jpg", "z.jpg", "t.jpg", "a.jpg", "b.jpg"]
    assert Counter(row["sha256"] for row in rows).most_common() == [(rows[0]["sha256"], 6)]


def test_what_is_not_there_is_one_line_and_leaves_no_job(data_dir: Path, tmp_path: Path) -> None:
    settings = {"data_dir": data_dir}

    for arguments in ([tmp_path / "none.png"], [tmp_path / "*.png"], [tmp_path]):
        run = starlight("scan", *arguments, settings=settings)
        assert run.returncode == SOME_ERRORS
        assert run.stdout == ""
        assert run.stderr.startswith(("starlight: there is no", "starlight: nothing matches"))
        assert run.stderr.count("\n") == 1

    assert starlight("jobs", "--json", settings=settings).stdout == ""


def test_the_table_is_escaped_and_ends_in_a_summary(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "red\x1b[31m.png").write_bytes(b"no image \x1b[2J")

    run = starlight("scan", tmp_path, settings=stack.settings)

    assert "\x1b" not in run.stdout
    assert "red\\x1b[31m.png" in run.stdout
    assert "unknown_format" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("1 image: 0 clean, 0 stego, 1 error; ")
