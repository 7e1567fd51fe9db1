"""`starlight purge` on a running stack."""

import uuid
from pathlib import Path

import pytest

from tests.kit.archives import write_zip
from tests.kit.command import read_records, run_starlight
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack


def scan_archive(stack: RunningStack, folder: Path) -> str:
    """Scan an archive with a new picture; return the job's id."""
    archive = write_zip(folder / "images.zip", {"picture.png": encode(draw_grained()) + uuid.uuid4().bytes})
    scanned = run_starlight("scan", archive, "--format", "ndjson", settings=stack.settings)
    return str(read_records(scanned)[0]["job_id"])


def test_images_and_then_jobs_and_verdicts_are_deleted_for_who_asks_for_it(stack: RunningStack, tmp_path: Path) -> None:
    job_id, other_id = scan_archive(stack, tmp_path), scan_archive(stack, tmp_path)

    unasked = run_starlight("purge", job_id, settings=stack.settings)
    assert unasked.returncode == 2
    assert "1 job with 1 verdict and " in unasked.stderr
    assert "--yes is required" in unasked.stderr

    only_blobs = run_starlight("purge", job_id, "--only-blobs", "--yes", settings=stack.settings)
    assert only_blobs.stdout == "images of 1 job released, 1 blob deleted\n"
    assert run_starlight("job", job_id, settings=stack.settings).returncode == 0

    assert run_starlight("purge", job_id, "--yes", settings=stack.settings).stdout == "1 job deleted, 0 blobs deleted\n"
    assert "there is no job" in run_starlight("job", job_id, settings=stack.settings).stderr
    found = run_starlight("verdicts", "--job", job_id, "--format", "ndjson", settings=stack.settings)
    assert read_records(found) == []
    assert run_starlight("audit", other_id, settings=stack.settings).returncode == 0

    earlier = run_starlight("purge", "--before", "2000-01-01", "--yes", settings=stack.settings)
    assert earlier.stdout == "0 jobs deleted, 0 blobs deleted\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say which jobs: their ids, --before TIME, or --submitter NAME"),
        ([str(uuid.UUID(int=0))], "there is no job 00000000"),
        (["--before", "yesterday"], "'yesterday' is not a time"),
        (["--submitter", "nobody", "--yes"], "there is no submitter 'nobody': "),
        (["--submitter", "", "--before", "2026-01-01", "--yes"], "there is no submitter ''"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(stack: RunningStack, arguments: list[str], complaint: str) -> None:
    run = run_starlight("purge", *arguments, settings=stack.settings)

    assert run.returncode == 2
    assert run.stderr.startswith(f"starlight: {complaint}")
    assert run.stderr.count("\n") == 1
