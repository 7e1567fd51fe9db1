"""`starlight up`, as an operator uses it."""

import os
import signal
import socket
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import redis

from producer.following import Follower
from starlight_vocabulary.words import Outcome
from storage.submission import submit_job
from tests.kit.command import TIMEOUT_S, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack


def list_children(process_id: int) -> dict[str, int]:
    """Return the ids of a process's children by command line."""
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return {Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip(): int(child) for child in listed}


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return str(answer.read().decode())


def write_pictures(folder: Path, copies: int) -> list[str]:
    """Return many references to the same three files: a clean picture, a stego picture, and no picture."""
    (folder / "clean.png").write_bytes(encode(draw_grained()))
    (folder / "stego.jpg").write_bytes(make_stego_files()["raw.jpg"])
    (folder / "none.txt").write_text("none")
    return [(folder / name).as_uri() for name in ("clean.png", "stego.jpg", "none.txt")] * copies


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_a_worker_killed_in_the_middle_costs_no_image(stack: RunningStack, tmp_path: Path) -> None:
    submission = submit_job(stack.engine, write_pictures(tmp_path, 500), submitter="tester", chunk_size=16)
    follower = Follower(stack.engine, submission.job_id)
    workers = [child for command, child in list_children(stack.process.pid).items() if "-m worker cpu0" in command]
    found: list[tuple[int, str]] = []

    for update in follower.follow():
        found.extend((verdict.ordinal, verdict.outcome) for verdict in update.verdicts)
        if found and workers:
            os.kill(workers.pop(), signal.SIGKILL)
            assert update.job.finished < update.job.total, "killed too late to prove anything"

    assert sorted(ordinal for ordinal, _ in found) == list(range(1500))
    assert Counter(outcome for _, outcome in found) == dict.fromkeys(Outcome, 500)
    audit = run_starlight("audit", str(submission.job_id), settings=stack.settings)
    assert audit.returncode == 0, audit.stdout
    assert "1500 references, 1500 verdicts, 0 missing, 0 double" in audit.stdout


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_only_workers_load_torch(stack: RunningStack) -> None:
    loaded = {
        command: "libtorch" in Path(f"/proc/{child}/maps").read_text()
        for command, child in list_children(stack.process.pid).items()
    }

    assert sum(loaded.values()) == 2
    assert all(torch == ("-m worker" in command) for command, torch in loaded.items()), loaded


@pytest.mark.parametrize("setting", ["api_port", "flower_port", "exporter_port"])
def test_a_port_that_somebody_has_set_is_refused_if_it_is_taken(setting: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_starlight("up", settings={"data_dir": tmp_path, setting: port})

    variable = f"STARLIGHT_{setting.upper()}"
    told = f"something listens on port {port} already: stop it, set {variable} to another port, or unset it"
    assert (ended.returncode, ended.stderr) == (2, f"starlight: {told}\n")


def test_embedded_servers_that_die_come_back_under_a_running_stack(stack: RunningStack, tmp_path: Path) -> None:
    broker = redis.Redis.from_url(stack.addresses["Redis"])
    submission = submit_job(stack.engine, write_pictures(tmp_path, 100), submitter="tester", chunk_size=16)

    broker.shutdown(nosave=True)

    for update in Follower(stack.engine, submission.job_id).follow():
        last = update.job
    assert (last.clean, last.stego, last.error) == (100, 100, 100)
    assert broker.ping()


def test_metrics_account_for_every_image(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    before = read_metrics(stack)

    run_starlight("scan", tmp_path, settings=stack.settings)

    after = read_metrics(stack)
    clean = 'starlight_images_finished_total{outcome="clean"}'
    assert after[clean] == before[clean] + 1
    assert after["starlight_images_submitted_total"] == before["starlight_images_submitted_total"] + 1
    assert after["starlight_images_unaccounted"] == 0
    assert after["starlight_images_per_minute"] >= 1
    assert after["starlight_target_images_per_minute"] == 1000
    assert after["starlight_postgres_up"] == after["starlight_redis_up"] == 1


def read_metrics(stack: RunningStack) -> dict[str, float]:
    lines = fetch(stack.addresses["Metrics"]).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_second_stack_on_the_same_data_is_refused(stack: RunningStack) -> None:
    run = run_starlight("up", settings=stack.settings)

    assert run.returncode == 2
    assert f"a stack already runs on {stack.settings['data_dir']} (process {stack.process.pid})" in run.stderr
