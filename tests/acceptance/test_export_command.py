"""`starlight export`, also killed and interrupted in the middle."""

import hashlib
import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from producer.cli.commands.exporting import repeat_command
from research.filling import fill_verdicts
from storage.database import connect
from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment, run_starlight
from tests.kit.databases import copy_database

VERDICTS = 6000
DAYS = 30


@pytest.fixture(scope="module")
def settings(session_servers: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """Settings with a filled database: a job on each of `DAYS` days."""
    with copy_database(session_servers[0]) as url:
        engine = connect(url)
        fill_verdicts(engine, VERDICTS, DAYS)
        engine.dispose()
        yield {"database_url": url, "redis_url": session_servers[1]}


def test_an_export_that_is_killed_goes_on_and_has_each_verdict_once(settings: dict[str, Any], tmp_path: Path) -> None:
    command = ["export", "--to", str(tmp_path), "--format", "ndjson", "--partition-by", "day"]
    killed = subprocess.Popen(
        [*STARLIGHT, *command], env=make_environment(settings), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert killed.stderr is not None
    told = killed.stderr.readline()
    killed.kill()
    killed.wait()
    killed.stderr.close()

    done = run_starlight(*command, settings=settings)

    assert told.startswith(b"1,000 verdicts in day=")
    assert done.returncode == 0
    assert done.stdout.startswith("6,000 verdicts in 6 files, up to ")
    lines = [json.loads(line) for path in tmp_path.glob("day=*/*") for line in path.read_text("ascii").splitlines()]
    assert len(lines) == len({(line["job_id"], line["ordinal"]) for line in lines}) == VERDICTS
    for each in json.loads((tmp_path / "_manifest.json").read_text())["files"]:
        assert hashlib.sha256((tmp_path / each["path"]).read_bytes()).hexdigest() == each["sha256"]
    again = run_starlight(*command, settings=settings)
    assert again.stdout == done.stdout
    assert again.stderr.startswith("this export is complete")


def test_an_export_that_is_interrupted_tells_how_to_go_on(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "june's verdicts"
    command = [*STARLIGHT, "export", "--to", str(folder), "--format", "ndjson"]
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'verdicts'::regclass"
    with psycopg.connect(settings["database_url"]) as holder:
        holder.execute("LOCK TABLE verdicts")
        interrupted = subprocess.Popen(command, env=make_environment(settings), stderr=subprocess.PIPE, text=True)
        while holder.execute(waiting).fetchone() == (0,):
            pass
        interrupted.send_signal(signal.SIGINT)
        _, told = interrupted.communicate(timeout=TIMEOUT_S)

    hint, typed = told.split("type: starlight ")
    assert (interrupted.returncode, hint) == (130, "interrupted; to continue, ")
    done = run_starlight(*shlex.split(typed), settings=settings)
    assert done.stdout.startswith("6,000 verdicts in 1 file, up to ")


def test_a_key_is_not_repeated() -> None:
    for arguments in (["export", "--key", "starlight_secret", "--to", "a b"], ["export", "--key=starlight_secret"]):
        assert "starlight export --key …" in repeat_command(arguments)
        assert "secret" not in repeat_command(arguments)


def test_without_a_place_it_goes_to_standard_output(settings: dict[str, Any]) -> None:
    printed = run_starlight("export", "--format", "ndjson", "--outcome", "stego", settings=settings)

    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert lines
    assert {line["outcome"] for line in lines} == {"stego"}
    times = [line["scanned_at"] for line in lines]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--partition-by", "day"], "--partition-by needs --to"),
        (["--to", "s3://a?b"], "--to s3://a?b: contains ? or #"),
        (["--to", "https://example.org/"], "--to https://example.org/: must start with s3://"),
        (["--to", "/proc/nowhere"], "the export to /proc/nowhere stopped: No such file"),
        (["--to", "tests"], "/tests contains other files"),
        (["--to", "README.md"], "/README.md is not a folder"),
        (["--to", "README.md", "--server", "http://127.0.0.1:1", "--key", "k"], "/README.md is not a folder"),
        (["--model", "v9"], "there is no model 'v9': use one of "),
        (["--submitter", "nobody"], "there is no submitter 'nobody': "),
        (["--to", "/proc/nowhere", "--submitter", "nobody"], "there is no submitter 'nobody': "),
        (["--outcome", ""], "'' is not a valid outcome"),
        (["--to", "/proc/nowhere", "--model", "v9"], "there is no model 'v9': use one of "),
        (["--since", "yesterday"], "'yesterday' is not a time"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "so nothing lies between: exchange them"),
    ],
)
def test_wrong_usage_is_one_line(settings: dict[str, Any], arguments: list[str], complaint: str) -> None:
    run = run_starlight("export", *arguments, settings=settings)

    assert run.returncode == 2
    assert complaint in run.stderr
    assert run.stderr.startswith("starlight: ")
    assert run.stderr.count("\n") == 1
    assert run.stdout == ""
