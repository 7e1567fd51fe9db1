"""What a stack logs, as machines read it: lines of ours, of Celery, Uvicorn and Flower alike."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.kit.command import run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import start_stack, stop_stack

PROGRAMS = {"up", "dispatcher", "worker", "api", "exporter", "flower"}


def test_every_line_of_a_stack_is_json_and_a_chunk_has_one(data_dir: Path, tmp_path: Path) -> None:
    settings = {"data_dir": data_dir, "log": "json"}
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    (tmp_path / "stego.jpg").write_bytes(make_stego_files()["raw.jpg"])
    (tmp_path / "none.txt").write_text("none")

    stack = start_stack(settings, "cpu0")
    job_id = run_starlight("submit", tmp_path, settings=settings).stdout.strip()
    assert run_starlight("job", job_id, "--watch", settings=settings).returncode == 0
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(stack.addresses["API"].replace("/docs", "/v1/jobs"), timeout=30)
    # Nothing but the addresses is written there, whatever libraries would show.
    assert set(stack.addresses) == {"PostgreSQL", "Redis", "API", "Flower", "Metrics", "Running", "ready"}
    assert stop_stack(stack) == 0

    stack.log.wait_for_end()
    told = [json.loads(line) for line in stack.log.list_lines()]
    assert {each["program"] for each in told} <= PROGRAMS
    (chunk,) = [each for each in told if each["event"] == "a chunk is scanned"]
    assert (chunk["job"], chunk["device"]) == (job_id, "cpu0")
    assert [chunk[name] for name in ("images", "clean", "stego", "error", "put_off")] == [3, 1, 1, 1, 0]
    assert chunk["seconds"] > 0
    (refusal,) = [each for each in told if each["event"].startswith("a request is refused")]
    assert refusal["request"] == refused.value.headers["x-request-id"]


def test_what_a_scan_starts_logs_text_for_people_into_files(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))

    run = run_starlight("scan", tmp_path, settings={"data_dir": data_dir, "log": "auto"})

    assert run.returncode == 0, run.stderr
    written = "".join(each.read_text() for each in (data_dir / "logs").glob("worker-*.log"))
    assert " INFO worker: a chunk is scanned  job=" in written
    assert written.count("images=1 clean=1 stego=0 error=0") == 1
