"""`starlight submit`, `job`, `jobs`, `cancel`, `audit` and `verdicts` on a running stack."""

import json
import os
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.kit.changes import wait_for_change
from tests.kit.command import read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import execute
from tests.kit.stack import RunningStack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean picture, a stego picture for each of four methods, and a file that is not a picture."""
    for name, data in make_stego_files().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    (tmp_path / "none.png").write_bytes(b"none")
    return tmp_path


def test_submit_prints_the_id_and_watching_ends_with_the_job(stack: RunningStack, folder: Path) -> None:
    key = uuid.uuid4().hex
    options = ("--name", "six", "--idempotency-key", key, "--priority", "interactive")

    submitted = run_starlight("submit", folder, *options, settings=stack.settings)
    again = run_starlight("submit", folder, *options, settings=stack.settings)

    job_id = submitted.stdout.strip()
    assert again.stdout == submitted.stdout
    assert "already submitted" in again.stderr
    shown = run_starlight("job", job_id, "--watch", settings=stack.settings)
    assert "6 images: 1 clean, 4 stego, 1 error" in shown.stdout
    status = json.loads(run_starlight("job", job_id, "--json", settings=stack.settings).stdout)
    assert (status["name"], status["state"], status["total"], status["finished"]) == ("six", "done", 6, 6)
    listed = run_starlight("jobs", settings=stack.settings).stdout
    assert listed.count(job_id) == 1


def test_verdicts_are_found_by_what_people_ask_for(stack: RunningStack, folder: Path) -> None:
    job_id = read_records(run_starlight("scan", folder, "--format", "ndjson", settings=stack.settings))[0]["job_id"]

    def found(*options: str) -> list[str]:
        run = run_starlight("verdicts", "--job", job_id, "--format", "ndjson", *options, settings=stack.settings)
        assert run.returncode == 0, run.stderr
        return [Path(each["uri"]).name for each in read_records(run)]

    everything = ["alpha.png", "clean.png", "exif.jpg", "lsb.rgb.png", "none.png", "raw.jpg"]
    assert found() == everything
    assert found("--outcome", "error") == ["none.png"]
    assert found("--method", "lsb.rgb") == ["lsb.rgb.png"]
    assert found("--limit", "2") == everything[:2]
    assert found("--since", "2026-01-01") == everything
    assert found("--until", "2026-01-01T00:00:00+00:00") == []
    (raw,) = read_records(
        run_starlight("verdicts", "--job", job_id, "--method", "raw", "--format", "ndjson", settings=stack.settings)
    )
    assert found("--sha256", raw["sha256"].upper()) == ["raw.jpg"]
    assert "raw.jpg" in found("--words", raw["extracted_message"].upper(), "--part", raw["extracted_message"][2:8])
    shown = run_starlight("verdict", job_id, str(raw["ordinal"]), "--json", settings=stack.settings)
    report = json.loads(shown.stdout)
    assert report.pop("provenance")["device"] in ("cpu0", "cpu1")
    assert report == raw


def test_a_job_is_sealed_when_it_has_ended_and_verified(stack: RunningStack, folder: Path) -> None:
    job_id = read_records(run_starlight("scan", folder, "--format", "ndjson", settings=stack.settings))[0]["job_id"]
    sealed = text("SELECT EXISTS (SELECT FROM seals WHERE job_id = :id)")

    def is_sealed() -> bool:
        with stack.engine.connect() as connection:
            return bool(connection.execute(sealed, {"id": job_id}).scalar_one())

    wait_for_change(stack.engine, "seals", is_sealed)
    intact = run_starlight("verify", job_id, settings=stack.settings)
    execute(stack.engine, f"UPDATE verdicts SET outcome = 'clean' WHERE job_id = '{job_id}' AND ordinal = 5")
    root = intact.stdout.split()[-1]
    changed = run_starlight("verify", job_id, "--root", "00" * 32, settings=stack.settings)

    assert intact.returncode == 0, intact.stderr
    assert f"{job_id}: intact; 6 verdicts sealed" in intact.stdout
    assert changed.returncode == 1
    assert "1 difference;" in changed.stdout
    assert "  changed: verdict 5\n" in changed.stdout
    assert f"  root {root}\n  " in changed.stdout
    assert "the seal was replaced" in changed.stdout
    wrong = run_starlight("verify", "--all", "--root", root, settings=stack.settings)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_a_cancelled_job_keeps_its_accounts(stack: RunningStack, folder: Path) -> None:
    many = "\n".join([str(folder / "clean.png")] * 5000)
    job_id = run_starlight("submit", "-", settings=stack.settings, stdin=many.encode()).stdout.strip()

    cancelled = run_starlight("cancel", job_id, settings=stack.settings)

    assert cancelled.stdout.endswith("images will not be scanned\n")
    audit = run_starlight("audit", job_id, "--json", settings=stack.settings)
    assert audit.returncode == 0, audit.stdout
    assert json.loads(audit.stdout)["verdicts"] == 5000
    assert json.loads(run_starlight("job", job_id, "--json", settings=stack.settings).stdout)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["job", "nonsense"], "'nonsense' is not a job id"),
        (["job", str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["cancel", str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["verdicts", "--job", str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["failed", "--job", str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["verdicts", "--model", "v9"], "there is no model 'v9': use one of starlight-v4-"),
        (["verdicts", "--model", b"v\xff"], r"'v\udcff' is not valid text in UTF-8"),
        (["audit"], "name one job id, or --all"),
        (["verdicts", "--outcome", "odd"], "'odd' is not a valid outcome"),
        (["verdicts", "--outcome", ""], "'' is not a valid outcome"),
        (["verdicts", "--method", ""], "'' is not a valid method"),
        (["verdicts", "--job", ""], "'' is not a job id"),
        (["verdicts", "--since", "0001-01-01T00:00+14:00"], "'0001-01-01T00:00+14:00' is outside the years 1 to 9999"),
        (["verdicts", "--until", "9999-12-31T23:00-12:00"], "'9999-12-31T23:00-12:00' is outside the years 1 to 9999"),
        (["pause", "--submitter", ""], "--submitter needs a name"),
        (["verdicts", "--since", "yesterday"], "'yesterday' is not a time"),
        (["verdicts", "--since", "2026-01-02", "--until", "2026-01-01"], "since 2026-01-02T00:00:00"),
        (["verdicts", "--sha256", "abc"], "'abc' is not a SHA-256"),
        (["submit", ".", "--webhook-kind", "stargate"], "--webhook-kind needs --webhook"),
        (["worker", "--device", "tpu0"], "unknown device 'tpu0'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(
    stack: RunningStack, arguments: list[str | bytes], complaint: str
) -> None:
    run = run_starlight(*arguments, settings=stack.settings)

    assert run.returncode == 2
    assert run.stderr.startswith(f"starlight: {complaint}")
    assert run.stderr.count("\n") == 1


def test_a_wrong_setting_is_named(stack: RunningStack) -> None:
    run = run_starlight("jobs", settings={**stack.settings, "chunk_size": "many"})

    assert run.returncode == 2
    assert run.stderr.startswith("starlight: a setting is wrong: STARLIGHT_CHUNK_SIZE: ")


def test_a_webhook_needs_an_address_and_a_secret(stack: RunningStack, folder: Path) -> None:
    unsigned = run_starlight("submit", folder, "--webhook", "https://example.org/", settings=stack.settings)
    assert (unsigned.returncode, unsigned.stdout) == (2, "")
    assert "STARLIGHT_WEBHOOK_SECRET" in unsigned.stderr
    wrong = run_starlight("submit", folder, "--webhook", "ftp://example.org/", settings=stack.settings)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is not an http:// or https:// URL" in wrong.stderr


def test_a_folder_of_any_name_is_watched(stack: RunningStack, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "clean.png").write_bytes(encode(draw_grained()))

    run = run_starlight("watch", folder, "--once", "--settle", "0", settings=stack.settings)

    assert run.returncode == 0, run.stderr
    (job,) = read_records(run_starlight("jobs", "--json", "--limit", "1", settings=stack.settings))
    assert (job["id"], job["name"]) == (run.stdout.strip(), f"watch {tmp_path}/\N{REPLACEMENT CHARACTER}"[:200])
