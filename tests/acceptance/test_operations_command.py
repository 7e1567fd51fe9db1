"""`starlight pause`, `resume`, `drain`, `requeue`, `priority` and `operations`, directly and through the API."""

import json
import socket
import uuid
from pathlib import Path

import pytest

from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from tests.kit.changes import wait_for_change
from tests.kit.command import run_starlight
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import read_job
from tests.kit.stack import RunningStack

HERE = socket.gethostname()


def run(settings: dict[str, object], *arguments: str) -> str:
    ended = run_starlight(*arguments, settings=settings)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def submitted(stack: RunningStack, tmp_path: Path) -> uuid.UUID:
    """A job that is submitted while its submitter is paused."""
    (tmp_path / "images").mkdir()
    for number in range(40):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode(draw_grained()))
    settings = {**stack.settings, "submitter": f"ann {uuid.uuid4().hex}"}
    paused = run_starlight("pause", "--submitter", str(settings["submitter"]), settings=settings)
    assert f"`starlight resume --submitter '{settings['submitter']}'` ends the pause" in paused.stdout
    assert paused.stderr == f"no job or API key has the submitter {settings['submitter']} yet\n"
    job_id = uuid.UUID(run(settings, "submit", str(tmp_path / "images")).strip())
    run(settings, "pause", "--job", str(job_id))
    run(settings, "resume", "--submitter", str(settings["submitter"]))
    return job_id


def test_a_paused_job_waits_and_goes_on_with_another_priority(
    stack: RunningStack, settings: dict[str, object], submitted: uuid.UUID
) -> None:
    listed = json.loads(run(settings, "operations", "--json"))
    assert str(submitted) in [each["job_id"] for each in listed["pauses"]]
    assert f"paused    job {submitted}" in run(settings, "operations")
    assert read_job(stack.engine, submitted).finished == 0

    assert "interactive from now on" in run(settings, "priority", str(submitted), "interactive")
    assert f"resumed: job {submitted}" in run(settings, "resume", "--job", str(submitted))

    wait_for_change(stack.engine, "jobs", lambda: read_job(stack.engine, submitted).ended)
    assert read_job(stack.engine, submitted).priority is Priority.INTERACTIVE
    assert next(audit_jobs(stack.engine, [submitted])).exact


def test_workers_that_drain_leave_a_job_until_they_are_told_otherwise(
    stack: RunningStack, settings: dict[str, object], submitted: uuid.UUID
) -> None:
    told = stack.log.count("this worker drains")
    assert f"draining: cpu0@{HERE}" in run(settings, "drain", f"cpu0@{HERE}")
    assert f"draining: cpu1@{HERE}" in run(settings, "drain", "--all")
    stack.log.wait_for_count("this worker drains", told + 2)
    run(settings, "resume", "--job", str(submitted))
    assert f"draining  cpu0@{HERE}" in run(settings, "operations")
    assert read_job(stack.engine, submitted).finished == 0

    assert "requeued" in run(settings, "requeue", "--all")
    assert f"claiming again: cpu0@{HERE}, cpu1@{HERE}" in run(settings, "drain", "--all", "--undo")

    wait_for_change(stack.engine, "jobs", lambda: read_job(stack.engine, submitted).ended)
    assert next(audit_jobs(stack.engine, [submitted])).exact


@pytest.mark.parametrize(("arguments", "reason"), [
    (["drain"], "name one worker, or --all"),
    (["requeue"], "name --job ID, --worker NAME or --all"),
    (["requeue", "--job", "00000000-0000-7000-8000-000000000000"], "there is no open job"),
    (["drain", "cpu9@nowhere"], "no worker cpu9@nowhere is alive"),
    (["pause", "--job", "00000000-0000-7000-8000-000000000000"], "there is no open job"),
    (["resume", "--priority", "bulk"], "priority bulk is not paused"),
    (["priority", "00000000-0000-7000-8000-000000000000", "bulk"], "there is no open job"),
])  # fmt: skip
def test_what_cannot_be_done_is_told_in_one_line(
    settings: dict[str, object], arguments: list[str], reason: str
) -> None:
    ended = run_starlight(*arguments, settings=settings)

    assert ended.returncode == 2
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
