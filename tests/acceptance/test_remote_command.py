"""`starlight … --server URL --key KEY` on a machine without servers."""

import json
import socket
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import urlsplit

import pytest

from tests.kit.command import read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def key(stack: RunningStack) -> str:
    return run_starlight("keys", "create", "remote", "--bucket", "s3://none", settings=stack.settings).stdout.strip()


@pytest.fixture
def elsewhere(stack: RunningStack, key: str, tmp_path: Path) -> Command:
    """Runs the command with no setting but the address of the stack's API."""
    parts = urlsplit(stack.addresses["API"])

    def run(*arguments: str | Path, key: str = key) -> "CompletedProcess[str]":
        settings = {"data_dir": tmp_path / "none", "server": f"{parts.scheme}://{parts.netloc}", "key": key}
        ended = run_starlight(*arguments, settings=settings)
        assert not (tmp_path / "none").exists()
        return ended

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a clean picture, and an archive with a stego picture for each of four methods."""
    inside = tmp_path / "pictures"
    inside.mkdir()
    (inside / "clean ü.png").write_bytes(encode(draw_grained()))
    with zipfile.ZipFile(inside / "stego.zip", "w") as archive:
        for name, data in make_stego_files().items():
            archive.writestr(name, data)
    return inside


def test_files_are_submitted_followed_and_their_verdicts_read(elsewhere: Command, folder: Path) -> None:
    submitted = elsewhere("submit", folder, "--name", "far", "--idempotency-key", "far-1", "--priority", "interactive")
    again = elsewhere("submit", folder, "--idempotency-key", "far-1")

    job_id = submitted.stdout.strip()
    assert again.stdout == submitted.stdout, submitted.stderr
    shown = elsewhere("job", job_id, "--watch")
    assert "5 images: 1 clean, 4 stego, 0 errors" in shown.stdout, shown.stderr
    status = json.loads(elsewhere("job", job_id, "--json").stdout)
    assert (status["name"], status["submitter"], status["state"], status["total"]) == ("far", "remote", "done", 5)
    assert job_id in elsewhere("jobs", "--limit", "1").stdout
    found = read_records(elsewhere("verdicts", "--job", job_id, "--outcome", "stego", "--format", "ndjson"))
    assert sorted(each["stego_type"] for each in found) == ["alpha", "exif", "lsb.rgb", "raw"]
    assert elsewhere("verdicts", "--limit", "2", "--format", "csv").stdout.count("\n") == 3


def test_where_nothing_answers_the_command_says_what_it_waits_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = {"data_dir": tmp_path / "none", "server": server, "key": "any"}

    ended = run_starlight("jobs", settings=settings)

    told = ended.stderr.splitlines()
    assert (ended.returncode, len(told)) == (2, 6), ended.stderr
    assert told[0].startswith(
        f"starlight: {server}: the request failed ([Errno 111] Connection refused): try 2 of 6 in "
    )
    assert told[-1] == f"starlight: the request to {server} failed: [Errno 111] Connection refused"


def test_verdicts_are_exported_there_and_downloaded(elsewhere: Command, folder: Path, tmp_path: Path) -> None:
    job_id = elsewhere("submit", folder).stdout.strip()
    elsewhere("job", job_id, "--watch")
    place = tmp_path / "exported"
    command = ("export", "--to", place, "--format", "ndjson", "--outcome", "stego")

    done = elsewhere(*command)

    assert done.returncode == 0, done.stderr
    manifest = json.loads((place / "_manifest.json").read_text())
    lines = [json.loads(line) for file in manifest["files"] for line in (place / file["path"]).open(encoding="utf-8")]
    assert {job_id} <= {line["job_id"] for line in lines}
    assert {line["outcome"] for line in lines} == {"stego"}
    assert sorted(path.name for path in place.iterdir()) == sorted(
        ["_manifest.json", *(f["path"] for f in manifest["files"])]
    )
    assert "contains a complete export" in elsewhere(*command).stderr
    (place / ".export").write_text(str(uuid.uuid4()))
    assert elsewhere(*command).stdout == done.stdout
    for path in place.iterdir():
        path.unlink()
    (place / ".export").write_text(f'{uuid.uuid4()}\n{{"format": "csv"}}\n')
    other = elsewhere(*command)
    assert (other.returncode, list(place.iterdir())) == (2, [place / ".export"])
    assert f"the interrupted export in {place} had other options" in other.stderr
    assert "--server needs --to" in elsewhere("export").stderr


def test_addresses_are_submitted_and_cancelled(elsewhere: Command) -> None:
    job_id = elsewhere("submit", "https://starlight.invalid/1.png", "s3://none/2.png").stdout.strip()

    assert "will not be scanned" in elsewhere("cancel", job_id).stdout
    assert elsewhere("cancel", job_id).stdout == f"job {job_id} has already ended\n"
    assert json.loads(elsewhere("job", job_id, "--json").stdout)["total"] == 2


def test_images_whose_truth_is_known_go_through_the_api_as_a_customers_do(elsewhere: Command) -> None:
    ended = elsewhere("canary", "--once", "--json", "--seed", "2")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [answer["result"] for answer in json.loads(ended.stdout)["answers"]] == ["right"] * 10
    assert "canaries" in elsewhere("jobs", "--limit", "1").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["canary"], "--server needs --once"),
        (["jobs", "--key", "wrong"], "refuses: 401"),
        (["job", "00000000-0000-7000-8000-000000000000"], "refuses: 404"),
        (["verdicts", "--model", "unheard-of", "--format", "csv"], "refuses: 422"),
        (["jobs", "--server", "nonsense"], "the request to"),
        (["jobs", "--key", "starlight_ü"], "must be printable ASCII"),
        (["submit", "missing.png"], "there is no file or folder"),
        (["submit", "https://starlight.invalid/1.png", __file__], "name only one kind"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(elsewhere: Command, arguments: list[str], reason: str) -> None:
    ended = elsewhere(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
