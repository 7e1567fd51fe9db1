"""`starlight scan` for a new user: without servers, and beside a running stack."""

import csv
import os
import subprocess
import tarfile
import zipfile
from collections import Counter
from io import StringIO
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from starlight_vocabulary.verdict import VERDICT_KEYS
from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment, read_records, run_starlight
from tests.kit.inputs import MESSAGE, fill_hostile_folder, make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack
from worker.v4.embedding import embed_raw

ALL_CLEAN, STEGO_FOUND, SOME_ERRORS = 0, 1, 2


def test_a_folder_goes_in_and_every_image_comes_out_as_one_verdict(data_dir: Path, tmp_path: Path) -> None:
    expected = fill_hostile_folder(tmp_path)

    settings = {"data_dir": data_dir, "max_image_bytes": 2**21, "log": "auto"}
    run = run_starlight("scan", tmp_path, "--format", "ndjson", "--ordered", settings=settings)

    found = read_records(run)
    assert run.returncode == SOME_ERRORS, run.stderr
    assert {unquote_to_bytes(urlsplit(each["uri"]).path).rpartition(b"/")[2]: each["error_code"] for each in found} == (
        expected
    )
    assert [each["ordinal"] for each in found] == list(range(len(expected)))
    assert all(tuple(each) == VERDICT_KEYS for each in found)
    (job_id,) = {each["job_id"] for each in found}
    audit = run_starlight("audit", job_id, settings={"data_dir": data_dir})
    assert (audit.returncode, audit.stdout) == (
        0, f"{job_id}: {len(expected)} references, {len(expected)} verdicts, 0 missing, 0 double\n"
    )  # fmt: skip
    # The programs that the scan starts log to files, as text.
    logged = "".join(each.read_text() for each in (data_dir / "logs").glob("worker-*.log"))
    assert f" INFO worker: a chunk is scanned  job={job_id}" in logged
    errors = sum(code is not None for code in expected.values())
    assert logged.count(f" images={len(expected)} clean={len(expected) - errors} stego=0 error={errors}") == 1


def test_hidden_messages_are_found_and_shown(stack: RunningStack, tmp_path: Path) -> None:
    for name, data in make_stego_files().items():
        (tmp_path / name).write_bytes(data)

    run = run_starlight("scan", tmp_path, "--format", "ndjson", settings=stack.settings)

    assert run.returncode == STEGO_FOUND, run.stderr
    found = {Path(each["uri"]).stem: each for each in read_records(run)}
    assert {name: each["stego_type"] for name, each in found.items()} == {
        name: name for name in ("alpha", "lsb.rgb", "exif", "raw")
    }
    assert {each["extracted_message"] for each in found.values()} == {MESSAGE}
    assert all(each["is_stego"] and each["prediction"] == "stego" and each["model"] for each in found.values())


def test_archives_lists_globs_and_clean_images(stack: RunningStack, tmp_path: Path) -> None:
    picture = encode(draw_grained(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(picture)
    (tmp_path / "b.jpg").write_bytes(picture)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("inside/z.jpg", picture)
    with tarfile.open(tmp_path / "pictures.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.jpg", "../t.jpg")
    listed = os.fsencode(tmp_path / "a.jpg") + b"\0" + os.fsencode(tmp_path / "b.jpg")

    run = run_starlight(
        "scan", "-0", tmp_path / "*.jpg", tmp_path / "pictures.zip", tmp_path / "pictures.tar.gz", "-",
        "--format", "csv", "--ordered", settings=stack.settings, stdin=listed,
    )  # fmt: skip

    assert run.returncode == ALL_CLEAN, run.stderr
    rows = list(csv.DictReader(StringIO(run.stdout)))
    assert tuple(rows[0]) == VERDICT_KEYS
    assert [row["uri"].rpartition("/")[2] for row in rows] == ["a.jpg", "b.jpg", "z.jpg", "t.jpg", "a.jpg", "b.jpg"]
    assert Counter(row["sha256"] for row in rows).most_common() == [(rows[0]["sha256"], 6)]


def test_what_is_not_there_is_one_line_and_leaves_no_job(data_dir: Path, tmp_path: Path) -> None:
    settings = {"data_dir": data_dir}

    for arguments in ([tmp_path / "none.png"], [tmp_path / "*.png"], [tmp_path]):
        run = run_starlight("scan", *arguments, settings=settings)
        assert run.returncode == SOME_ERRORS
        assert run.stdout == ""
        assert run.stderr.startswith(("starlight: there is no", "starlight: nothing matches"))
        assert run.stderr.count("\n") == 1

    assert run_starlight("jobs", "--json", settings=settings).stdout == ""


def test_the_table_is_escaped_and_ends_in_a_summary(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "red\x1b[31m.png").write_bytes(b"no image \x1b[2J")

    run = run_starlight("scan", tmp_path, settings=stack.settings)

    assert "\x1b" not in run.stdout
    assert "red\\x1b[31m.png" in run.stdout
    assert "unknown_format" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("1 image: 0 clean, 0 stego, 1 error; ")


def test_a_reader_that_leaves_ends_the_scan_and_not_with_the_code_for_a_find(
    stack: RunningStack, tmp_path: Path
) -> None:
    listed = os.fsencode(tmp_path / "none.png") + b"\n"

    run = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1 >/dev/null; exit "${PIPESTATUS[0]}"', "-", *STARLIGHT, "scan", "-"],
        input=listed * 20_000,
        env=make_environment(stack.settings),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert run.returncode == 141, run.stderr
    assert run.stderr.startswith(b"cancelled job")


def test_messages_are_printed_whatever_the_locale_can_show(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "stego.jpg").write_bytes(embed_raw(encode(draw_grained(), "JPEG"), "встреча завтра в полдень".encode()))

    for format_name in ("table", "csv"):
        run = subprocess.run(
            [*STARLIGHT, "scan", tmp_path, "--format", format_name],
            env=make_environment(stack.settings) | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert run.returncode == STEGO_FOUND, run.stderr
        assert b"\\u0432\\u0441\\u0442" in run.stdout


def test_a_scan_that_is_told_to_end_cancels_its_job(data_dir: Path, tmp_path: Path) -> None:
    settings = {"data_dir": data_dir}
    scan = subprocess.Popen(
        [*STARLIGHT, "scan", "-"], env=make_environment(settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert scan.stdin and scan.stdout and scan.stderr  # noqa: PT018
    scan.stdin.write((os.fsencode(tmp_path / "none.png") + b"\n") * 50_000)
    scan.stdin.close()
    assert scan.stdout.readline().startswith(b"OUTCOME")

    scan.terminate()

    assert scan.wait(TIMEOUT_S) == 130
    assert b"cancelled job" in scan.stderr.read()
    (job,) = read_records(run_starlight("jobs", "--json", settings=settings))
    assert (job["state"], job["finished"]) == ("cancelled", 50_000)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"data_dir": "/dev/null/x"}, "/dev/null/x: Not a directory"),
        ({"database_url": "nonsense"}, "a setting is wrong: STARLIGHT_DATABASE_URL: "),
        ({"redis_url": "nonsense"}, "a setting is wrong: STARLIGHT_REDIS_URL: "),
        ({"flower_port": 99999}, "a setting is wrong: STARLIGHT_FLOWER_PORT: "),
        (
            {"blob_retention": "1s"},
            "a setting is wrong: STARLIGHT_BLOB_RETENTION: a time is written like 7d, 12:00:00",
        ),
        ({"verdict_retention": "0"}, "a setting is wrong: STARLIGHT_VERDICT_RETENTION: the time must be longer"),
        ({"webhook_secret": "abc"}, "a setting is wrong: STARLIGHT_WEBHOOK_SECRET: must be whsec_ and 24 to 64 bytes"),
        ({"fetch_allowed_networks": "10.0.0.0/8"}, "a setting is wrong: STARLIGHT_FETCH_ALLOWED_NETWORKS: lists are "),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(settings: dict[str, object], complaint: str) -> None:
    run = run_starlight("scan", "samples", settings=settings)

    assert run.returncode == SOME_ERRORS
    assert run.stderr.startswith(f"starlight: {complaint}")
    assert run.stderr.count("\n") == 1


def test_an_option_that_cannot_be_used_says_what_can(tmp_path: Path) -> None:
    run = run_starlight("scan", "samples", "--priority", "urgent", settings={"data_dir": tmp_path})

    assert run.returncode == SOME_ERRORS
    # Typer draws a box, and breaks lines.
    told = " ".join(run.stderr.replace("│", " ").split())
    assert "Invalid value for '--priority': 'urgent' is not one of 'interactive', 'bulk'." in told
