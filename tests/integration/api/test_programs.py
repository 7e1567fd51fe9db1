"""The programs that the documentation shows, run against the served API and its database."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from producer.dispatching.deliverer import Deliverer
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome
from storage.keys import create_key
from storage.notifications import SUBMITTED, listen
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.pictures import encode_pattern
from tests.kit.receiver import SECRET
from tests.kit.rows import execute, finish_waiting_chunks, read_webhook
from tests.kit.threads import PATIENCE_S

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "client" / "README.md").read_text(), re.DOTALL)
TIMEOUT_S = 60


@pytest.fixture
def judge(engine: Engine) -> Iterator[None]:
    """Stands in for workers: every submitted image immediately gets the verdict stego."""
    ended = threading.Event()

    def run_judge() -> None:
        for _ in listen(engine, (SUBMITTED,), 0.1):
            finish_waiting_chunks(engine, Outcome.STEGO)
            if ended.is_set():
                return

    thread = threading.Thread(target=run_judge)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.fixture
def environment(address: str, engine: Engine, judge: None) -> dict[str, str]:
    """The environment variables with the API and a key that the programs read."""
    key = create_key(engine, "ann", ["submit", "read"], ["s3://evidence"])
    return {**os.environ, "PYTHONPATH": str(ROOT / "client"), "STARLIGHT_SERVER": address, "STARLIGHT_KEY": key}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them in a folder."""
    (tmp_path / "evidence").mkdir()
    for name in ("one.png", "evidence/two.png"):
        (tmp_path / name).write_bytes(encode_pattern())
    return tmp_path


def run_program(folder: Path, environment: dict[str, str], *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *words]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.parametrize(("block", "printed"), list(zip(BLOCKS, [
    ["2 of 2", "two.png", "one.png"],
    ["https://forum.example/1.png stego", "s3://evidence/2.png stego", "2 of 2 done"],
    ["refused: 422 [{'field': 'references.0'"],
], strict=True)))  # fmt: skip
def test_the_readme_of_the_client(block: str, printed: list[str], environment: dict[str, str], folder: Path) -> None:
    ended = run_program(folder, environment, "-c", block)

    assert ended.returncode == 0, ended.stderr
    for expected in printed:
        assert expected in ended.stdout


def test_images_are_submitted_and_followed(environment: dict[str, str], folder: Path) -> None:
    named = ("evidence", "one.png", "s3://evidence/3.png")

    ended = run_program(folder, environment, EXAMPLES / "submit_and_follow.py", *named)

    assert ended.returncode == 0, ended.stderr
    outcomes = [line.split("\t")[0] for line in ended.stdout.splitlines()]
    assert outcomes == ["stego"] * 3
    assert "2 of 2, done" in ended.stderr
    assert "1 of 1, done" in ended.stderr


@pytest.fixture
def receiver() -> Iterator["subprocess.Popen[str]"]:
    """The running example of a webhook receiver, on a free port."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "receive_webhooks.py", "0"],
        env={**os.environ, "STARLIGHT_WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_a_webhook_is_received_once_and_only_signed(
    engine: Engine, configured: Settings, receiver: "subprocess.Popen[str]"
) -> None:
    settings = {"webhook_secret": SecretStr(SECRET), "fetch_allowed_networks": (ip_network("127.0.0.0/8"),)}
    deliverer = Deliverer(engine, configured.model_copy(update=settings))
    assert receiver.stdout is not None
    url = receiver.stdout.readline().strip()
    job_id = submit_job(engine, ["s3://evidence/1.png"], JobOptions(webhook=url), submitter="ann").job_id
    finish_waiting_chunks(engine, Outcome.STEGO)

    assert deliverer.deliver_next()
    assert read_webhook(engine, job_id).summary == "delivered after 1 attempt"
    execute(engine, "UPDATE webhooks SET delivered_at = NULL, next_attempt_at = now()")
    assert deliverer.deliver_next()
    assert read_webhook(engine, job_id).summary == "delivered after 2 attempts"
    assert httpx.post(url, json={"data": {"id": "forged"}}, timeout=PATIENCE_S).status_code == 400
    receiver.send_signal(signal.SIGINT)
    printed, _ = receiver.communicate(timeout=TIMEOUT_S)

    assert receiver.returncode == 0
    assert printed.splitlines() == [f"{job_id}\tdone\t0 clean, 1 stego, 0 errors"]


def test_verdicts_are_read_from_the_database(engine: Engine, database_url: str, folder: Path) -> None:
    submit_job(engine, ["s3://evidence/1.png", "s3://evidence/2.png"], JobOptions(name="june"), submitter="ann")
    finish_waiting_chunks(engine, Outcome.STEGO)
    program, environment = EXAMPLES / "read_verdicts.py", {**os.environ, "STARLIGHT_DATABASE_URL": database_url}

    ended = run_program(folder, environment, program, "2026-01-01")
    later = run_program(folder, environment, program, "2999-01-01")

    assert ended.returncode == 0, ended.stderr
    assert [line.split("\t")[1:3] for line in ended.stdout.splitlines()] == [
        ["june", "s3://evidence/1.png"], ["june", "s3://evidence/2.png"]
    ]  # fmt: skip
    assert (later.returncode, later.stdout) == (0, "")


@pytest.mark.parametrize(("program", "arguments", "reason"), [
    ("submit_and_follow.py", [], "usage: "),
    ("submit_and_follow.py", ["missing.png"], "No such file or directory: 'missing.png'"),
    ("submit_and_follow.py", ["ftp://example.com/1.png"], "RefusedError: 422"),
    ("receive_webhooks.py", [], "usage: "),
    ("receive_webhooks.py", ["port"], "ValueError"),
    ("read_verdicts.py", [], "usage: "),
    ("read_verdicts.py", ["some day"], "PostgreSQL: invalid input syntax"),
])  # fmt: skip
def test_what_an_example_cannot_do_it_says_in_one_line(
    program: str, arguments: list[str], reason: str, environment: dict[str, str], database_url: str, folder: Path
) -> None:
    environment |= {"STARLIGHT_WEBHOOK_SECRET": SECRET, "STARLIGHT_DATABASE_URL": database_url}

    ended = run_program(folder, environment, EXAMPLES / program, *arguments)

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert reason in ended.stderr
