"""Runs the code of the previous release on the current schema: `scripts/try_previous_release`.

A deployment migrates the schema first, while the previous release is still running, and may have to roll back to that
release. So this runs its worker, dispatcher, API and commands before, during and after the upgrade, and beside those
of the current code. They run with the current dependencies. `COMMIT` changes with each release.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, text

from storage.database import connect
from storage.embedded.ports import find_free_port
from storage.embedded.servers import EmbeddedServers
from storage.schema_version import read_revision
from storage.settings import Settings

# Version 0.2.0.
COMMIT = "6b2a4f2"
ROOT = Path(__file__).parents[1]
ROOMS = ("client", "storage", "worker", "producer", "monitoring")
TIMEOUT_S = 300
LOOK_EVERY_S = 0.2
# Images of a job: enough that it takes longer than an upgrade.
BULK = 4000


class HistoryMissingError(RuntimeError):
    """The commit of the previous release is not in this checkout."""


class Release:
    """The code in a folder, run with the servers that the environment names."""

    def __init__(self, name: str, root: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._environment = {
            **os.environ, **environment, "PYTHONPATH": f"{root}:{root / 'client'}", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def run(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run a `starlight` command and return its output; raises CalledProcessError."""
        command = [sys.executable, "-m", "producer.cli", *map(str, arguments)]
        ended = subprocess.run(
            command, env=self._environment, cwd="/", input=stdin, stdout=subprocess.PIPE, text=True, check=True
        )
        return ended.stdout.strip()

    @contextmanager
    def start(self, *arguments: str, module: str = "producer.cli") -> Iterator[None]:
        """Run a program during the block and terminate it afterwards; raises SystemExit if it ends earlier."""
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, env=self._environment, cwd="/")
        try:
            yield
            if process.poll() is not None:
                raise SystemExit(f"{self.name}: {' '.join(arguments) or module} ended with {process.returncode}")
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def extract_release(folder: Path) -> None:
    """Write the previous release's code below a folder; raises HistoryMissingError."""
    command = ["git", "archive", "--format=tar", COMMIT, *ROOMS]
    try:
        packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise HistoryMissingError(f"commit {COMMIT} is missing: fetch the whole history") from error
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def count_finished(engine: Engine, job_id: str) -> int:
    """Return the number of verdicts of a job."""
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM verdicts WHERE job_id = :job_id")
        return int(connection.execute(query, {"job_id": job_id}).scalar_one())


def await_finished(engine: Engine, job_id: str, wanted: int) -> None:
    """Wait until a job has this number of verdicts; raises SystemExit after `TIMEOUT_S`."""
    deadline = time.monotonic() + TIMEOUT_S
    while (found := count_finished(engine, job_id)) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"job {job_id} has {found} of {wanted} verdicts after {TIMEOUT_S} s")
        time.sleep(LOOK_EVERY_S)


def await_worker(engine: Engine, device: str) -> None:
    """Wait until a worker reports from this device; raises SystemExit after `TIMEOUT_S`."""
    query = text("SELECT EXISTS (SELECT FROM workers WHERE device = :device)")
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with engine.connect() as connection:
            if connection.execute(query, {"device": device}).scalar_one():
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"no worker reports from {device} after {TIMEOUT_S} s")
        time.sleep(LOOK_EVERY_S)


def count_by_code(engine: Engine, job_id: str) -> Counter[str]:
    """Count a job's verdicts by the code that stored them: only the current code stores its version."""
    query = text("""
        SELECT CASE WHEN code_version IS NULL THEN 'previous' ELSE 'this' END AS code FROM verdicts
            LEFT JOIN provenance USING (job_id, landed) WHERE job_id = :job_id
    """)
    with engine.connect() as connection:
        return Counter(connection.execute(query, {"job_id": job_id}).scalars())


def list_samples(count: int) -> str:
    """Return this number of paths of samples, one a line."""
    samples = sorted((ROOT / "samples").iterdir())
    return "".join(f"{samples[number % len(samples)]}\n" for number in range(count))


def ask_api(port: int, key: str, path: str) -> object:
    """Return the response of the API on this port, once it listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY_S)


def try_releases(previous: Release, this: Release, engine: Engine, api_port: int) -> None:
    """Upgrade while the previous release runs, then run both; raises an error if one of them fails."""

    def submit(release: Release) -> str:
        return release.run("submit", "-", "--name", release.name, stdin=list_samples(BULK))

    def check(job_id: str, what: str, *scanned_by: str) -> None:
        await_finished(engine, job_id, BULK)
        for release in (previous, this):
            release.run("audit", job_id)
        counts = count_by_code(engine, job_id)
        print(f"{what}: {BULK} of {BULK}, exact for both; verdicts by code {dict(counts)}", flush=True)
        if set(counts) != set(scanned_by):
            raise SystemExit(f"job {job_id} should have been scanned by {' and '.join(scanned_by)}")

    previous.run("db", "upgrade")
    print(f"schema {read_revision(engine)}, of the previous release", flush=True)
    with previous.start("dispatcher"), previous.start("cpu0", module="worker"), previous.start("api"):
        under = submit(previous)
        await_finished(engine, under, 1)
        this.run("db", "upgrade")
        finished = count_finished(engine, under)
        print(f"schema {read_revision(engine)}, after {finished} of {BULK} verdicts", flush=True)
        if finished == BULK:
            raise SystemExit("the job ended before the upgrade: increase BULK")
        check(under, "a job of the previous release, during the upgrade", "previous")
        check(submit(previous), "a job of the previous release, after the upgrade", "previous")
        key = previous.run("keys", "create", "previous", "--scope", "admin")
        previous.run("verdicts", "--job", under, "--format", "ndjson")
        for path in ("/v1/jobs", "/v1/stats", f"/v1/jobs/{under}/verdicts"):
            ask_api(api_port, key, path)
        print("the API of the previous release responds", flush=True)
        with this.start("dispatcher"), this.start("cpu1", module="worker"):
            await_worker(engine, "cpu1")
            check(submit(this), "a job of the current code, scanned by both", "previous", "this")
    # As after a rollback, when no current code runs any more.
    with previous.start("dispatcher"), previous.start("cpu0", module="worker"):
        check(submit(this), "a job of the current code, scanned by the previous release", "previous")
    previous.run("db", "upgrade")


def main() -> None:
    """Run both releases on new embedded servers."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        # PostgreSQL started by root runs under another account, which must reach it.
        folder.chmod(0o755)
        try:
            extract_release(folder / "release")
        except HistoryMissingError as error:
            print(f"skipped: {error}")
            return
        data_dir = folder / "data"
        servers = EmbeddedServers(Settings(data_dir=data_dir))
        database_url, redis_url = servers.attach()
        assert database_url is not None
        assert redis_url is not None
        port = find_free_port()
        environment = {
            "STARLIGHT_DATABASE_URL": database_url, "STARLIGHT_REDIS_URL": redis_url, "STARLIGHT_REUSE": "false",
            "STARLIGHT_DATA_DIR": str(data_dir), "STARLIGHT_CORES": "1", "STARLIGHT_CHUNK_SIZE": "50",
            "STARLIGHT_API_PORT": str(port), "STARLIGHT_MIN_FREE_BYTES": "0",
        }  # fmt: skip
        engine = connect(database_url)
        try:
            previous = Release("previous", folder / "release", environment)
            try_releases(previous, Release("this", ROOT, environment), engine, port)
        finally:
            engine.dispose()
            servers.detach()
    print(f"the code of {COMMIT} works on the current schema")


if __name__ == "__main__":
    main()
