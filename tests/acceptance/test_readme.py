"""Every command in the README works when it is typed into a shell beside a running stack."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from alembic import command
from sqlalchemy import Engine

from storage.keys import create_key
from storage.schema_version import build_alembic_config
from storage.submission import submit_job
from storage.workers import list_live_workers
from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment, read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.output import Output
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import LEASE_S, execute
from tests.kit.stack import RunningStack
from worker.v4.card import DEFAULT_MODEL, read_card

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Commands that are not run here, because they start or stop what this test needs, with the tests that run them.
ELSEWHERE = {
    "scripts/build_docs": "tests/unit/test_site.py::test_pages_load_nothing_from_elsewhere",
    "starlight up": "tests/acceptance/test_ctrl_c.py::test_a_second_stack_goes_on_with_the_work_and_down_ends_it",
    "starlight down": "tests/acceptance/test_ctrl_c.py::test_a_second_stack_goes_on_with_the_work_and_down_ends_it",
    "starlight submit s3://bucket/2026/ --include '*.png' --since ID": (
        "tests/integration/test_since.py::test_each_job_has_what_changed_since_all_before_it"
    ),
    "starlight worker --tune": (
        "tests/unit/test_tuning.py::test_tuning_writes_a_file_that_every_command_reads_and_the_environment_overrules"
    ),
}
PAUSED = "who waits"
# A line without any of these needs no shell.
SHELL_SYNTAX = re.compile(r"[|<>$;&*?]")
# These install this checkout, run its checks (including this test), or measure it.
SCRIPTS = {"scripts/quickstart", "scripts/test", "scripts/check", "scripts/bench.py"}


def list_blocks() -> list[list[str]]:
    """Return the lines of each block of commands, without their comments."""
    blocks = re.findall(r"(?:^    \S.*\n)+", README, re.MULTILINE)
    lines = [[re.split(r"\s+#", line)[0].strip() for line in block.splitlines()] for block in blocks]
    return [block for block in lines if block[0].startswith(("starlight ", "scripts/", "export "))]


def list_commands() -> list[str]:
    """Return each command once: those of the blocks, and those in sentences that have arguments."""
    shown = [line for block in list_blocks() if block != SERVERS for line in block]
    told = re.findall(r"`((?:starlight |scripts/)[^`\n]+)`", README)
    return list(dict.fromkeys(shown + [each for each in told if not any(line.startswith(each) for line in shown)]))


(SERVERS,) = [block for block in list_blocks() if block[0].startswith("export ")]
COMMANDS = [each for each in list_commands() if each not in ELSEWHERE and each not in SCRIPTS]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell in which the command is on the PATH."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "starlight").write_text(f'#!/bin/sh\nexec {shlex.join(STARLIGHT)} "$@"\n')
    (folder / "starlight").chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of images for each outcome."""
    files = {"clean": encode(draw_grained()), "stego": make_stego_files()["raw.jpg"], "error": b"none"}
    folders = {outcome: tmp_path_factory.mktemp(outcome) for outcome in files}
    for outcome, data in files.items():
        (folders[outcome] / "image").write_bytes(data)
    return folders


@pytest.fixture(scope="module")
def meanings(
    stack: RunningStack, folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The values of the words in capitals: ID is an ended job whose image is missing, JOB a waiting one."""
    scanned = run_starlight("scan", folders["error"], "--format", "ndjson", settings=stack.settings)
    job_id = read_records(scanned)[0]["job_id"]
    # If the job is sealed already, it is sealed again with the changed verdict.
    execute(
        stack.engine,
        f"""
            UPDATE jobs SET sealed = false WHERE id = '{job_id}';
            UPDATE verdicts SET error_code = 'unavailable' WHERE job_id = '{job_id}';
            DELETE FROM seal_pieces WHERE job_id = '{job_id}';
            DELETE FROM seals WHERE job_id = '{job_id}'
        """,
    )
    judged = read_records(run_starlight("scan", folders["stego"], "--format", "ndjson", settings=stack.settings))
    shipped = read_card(DEFAULT_MODEL).label
    # A model for `model use`, and an earlier choice for `model rollback`.
    for words in (["add", DEFAULT_MODEL], ["use", "shipped"]):
        assert run_starlight("model", *words, settings=stack.settings).returncode == 0
    assert run_starlight("pause", "--submitter", PAUSED, settings=stack.settings).returncode == 0
    api = urlsplit(stack.addresses["API"])
    table = tmp_path_factory.mktemp("table") / "list.csv"
    table.write_text(f"image\n{folders['clean'] / 'image'}\n")
    yield {
        "--webhook URL": "--webhook https://example.org/",
        "--server URL": f"--server {api.scheme}://{api.netloc}",
        "KEY": create_key(stack.engine, "reader of the README", ["submit", "read"]),
        "PATH…": shlex.quote(str(folders["clean"])),
        "SOURCE": shlex.quote(str(folders["clean"])),
        "TABLE": shlex.quote(str(table)),
        "IMAGE": shlex.quote(str(folders["stego"] / "image")),
        "FILE": shlex.quote(str(tmp_path_factory.mktemp("hidden") / "image.png")),
        "DIR": shlex.quote(str(tmp_path_factory.mktemp("pictures") / "planes")),
        "FOLDER": shlex.quote(str(DEFAULT_MODEL)),
        "NAME-VERSION": shipped,
        "NAME": "june",
        "--model VERSION": f"--model {shipped} --job {judged[0]['job_id']}",
        "MODEL_A": shipped,
        "MODEL_B": shipped,
        "ID": job_id,
        "ORDINAL": "0",
        "PLACE": shlex.quote(str(tmp_path_factory.mktemp("exported"))),
        "WORKER": list_live_workers(stack.engine, LEASE_S)[0].name,
        "JOB": str(submit_job(stack.engine, ["file:///waits"], submitter=PAUSED).job_id),
    }
    for words in (["model", "use", "shipped"], ["resume", "--submitter", PAUSED], ["drain", "--all", "--undo"]):
        run_starlight(*words, settings=stack.settings)


def type_in(line: str, meanings: Mapping[str, str], settings: Mapping[str, object], shell: Mapping[str, str]) -> int:
    """Type a line of the README into a shell and return its exit code."""
    for word, meaning in meanings.items():
        line = re.sub(rf"(?<!\S){word}(?!\S)", meaning, line)
    settings = {**settings, "webhook_secret": f"whsec_{'A' * 32}"}
    if line.startswith("starlight ") and not SHELL_SYNTAX.search(line):
        ran = run_starlight(*shlex.split(line)[1:], settings=settings)
    else:
        ran = subprocess.run(
            ["bash", "-c", line],
            env={**make_environment(settings), **shell},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert "Traceback" not in ran.stderr
    assert ran.stdout, ran.stderr
    # Shown if the test fails.
    print(ran.stdout, ran.stderr)
    return ran.returncode


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_does_what_it_is_shown_for(
    stack: RunningStack, meanings: Mapping[str, str], shell: Mapping[str, str], line: str
) -> None:
    assert type_in(line, meanings, stack.settings, shell) == 0

    # Other commands need all workers, and other tests need a stack without pauses.
    undone = {"starlight drain": f"{line} --undo", "starlight pause": line.replace("pause", "resume")}
    for words, undoing in undone.items():
        if line.startswith(words):
            assert type_in(undoing, meanings, stack.settings, shell) == 0


@pytest.mark.parametrize(("outcome", "status"), [("clean", 0), ("stego", 1), ("error", 2)])
def test_a_scan_says_by_its_exit_code_what_was_found(
    stack: RunningStack, folders: Mapping[str, Path], shell: Mapping[str, str], outcome: str, status: int
) -> None:
    meanings = {"PATH…": shlex.quote(str(folders[outcome]))}

    assert type_in("starlight scan PATH…", meanings, stack.settings, shell) == status


def test_servers_of_ones_own_are_used_as_shown(
    engine: Engine, database_url: str, redis_url: str, folders: Mapping[str, Path], shell: Mapping[str, str],
    data_dir: Path,
) -> None:  # fmt: skip
    command.downgrade(build_alembic_config(engine), "base")
    script = "\n".join(SERVERS).replace("gpu", "cpu")
    for shown, real in (
        ("postgresql://user:password@host/database", database_url), ("redis://:password@host:6379/0", redis_url),
    ):  # fmt: skip
        assert shown in script
        script = script.replace(shown, shlex.quote(real))
    settings = {"database_url": database_url, "redis_url": redis_url, "data_dir": data_dir}

    # The shell survives the signal, and waits for everything that it has started.
    running = subprocess.Popen(
        ["bash", "-c", f"{script}\ntrap : TERM\nwait\nwait"],
        env={**make_environment({"data_dir": data_dir}), **shell},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert running.stderr is not None
        Output(running.stderr).wait_for(*(f"{device}@{socket.gethostname()} ready" for device in ("cpu0", "cpu1")))
        job_id = run_starlight("submit", folders["clean"], settings=settings).stdout.strip()
        assert "1 image: 1 clean" in run_starlight("job", job_id, "--watch", settings=settings).stdout
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(TIMEOUT_S)


def test_what_is_run_elsewhere_is_shown_and_run_there() -> None:
    assert ELSEWHERE.keys() | SCRIPTS <= set(list_commands())
    for where in ELSEWHERE.values():
        path, _, name = where.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()
    for script in SCRIPTS:
        assert os.access(ROOT / script, os.X_OK), script
