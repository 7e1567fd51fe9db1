"""`starlight failed` and `retry` on a running stack."""

import json
import uuid
from pathlib import Path

import pytest

from tests.kit.command import read_records, run_starlight
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack


def test_failed_images_are_listed_counted_and_scanned_again_as_a_linked_job(
    stack: RunningStack, tmp_path: Path
) -> None:
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    (tmp_path / "none.png").write_bytes(b"none")
    (tmp_path / "empty.png").touch()
    scanned = run_starlight("scan", tmp_path, "--format", "ndjson", settings=stack.settings)
    job_id = read_records(scanned)[0]["job_id"]

    failed = run_starlight("failed", "--job", job_id, "--format", "ndjson", settings=stack.settings)
    assert failed.returncode == 0, failed.stderr
    assert [(Path(each["uri"]).name, each["error_code"]) for each in read_records(failed)] == [
        ("empty.png", "empty"), ("none.png", "unknown_format"),
    ]  # fmt: skip
    assert "2 images failed: empty 1, unknown_format 1" in failed.stderr
    listed = run_starlight("failed", "--job", job_id, "--code", "empty", settings=stack.settings).stdout
    assert "empty.png" in listed
    assert listed.splitlines()[-1] == "1 image failed: empty 1"

    (tmp_path / "none.png").write_bytes(encode(draw_grained()))
    retried = run_starlight("retry", job_id, settings=stack.settings)
    assert retried.stderr == "2 images\n"
    retry_id = retried.stdout.strip()
    shown = run_starlight("job", retry_id, "--watch", settings=stack.settings).stdout
    assert "2 images: 1 clean, 0 stego, 1 error" in shown
    assert f"retry of     {job_id}" in shown
    assert f"retried as   {retry_id}" in run_starlight("job", job_id, settings=stack.settings).stdout
    status = json.loads(run_starlight("job", job_id, "--json", settings=stack.settings).stdout)
    assert (status["retry_of"], status["retries"]) == (None, [retry_id])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["retry", str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["retry", str(uuid.UUID(int=0)), "--code", "odd"], "'odd' is not a valid error code: use one of not_found, "),
        (["failed", "--code", "odd"], "'odd' is not a valid error code: use one of not_found, "),
        (["failed", "--since", "yesterday"], "'yesterday' is not a time"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(stack: RunningStack, arguments: list[str], complaint: str) -> None:
    run = run_starlight(*arguments, settings=stack.settings)

    assert run.returncode == 2
    assert run.stderr.startswith(f"starlight: {complaint}")
    assert run.stderr.count("\n") == 1


def test_a_job_without_failures_is_not_retried(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    job_id = read_records(run_starlight("scan", tmp_path, "--format", "ndjson", settings=stack.settings))[0]["job_id"]

    run = run_starlight("retry", job_id, settings=stack.settings)

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"starlight: no image of job {job_id} failed")
