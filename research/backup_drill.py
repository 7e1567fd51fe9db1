"""Loses a database and restores it to a point in time before the loss: `scripts/backup_drill`.

An embedded PostgreSQL archives its WAL and is backed up while jobs are scanned. Then all jobs are deleted, the server
is killed, and a second server is restored from the base backup and the WAL to the moment before the deletion. The
drill counts what was restored and finishes the job that was running. It prints the results as one JSON object, and
exits with 1 if anything is missing.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, make_url

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome, Priority
from storage.audits import Audit, audit_jobs
from storage.chunks import claim_chunk, finish_chunk
from storage.database import connect
from storage.dispatch import pick_chunks
from storage.embedded.postgres import EmbeddedPostgres, find_binaries
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.schema_version import check_schema, upgrade_schema
from storage.submission import submit_job

LEASE_S = 60.0
# Added to the configuration of an embedded server.
ARCHIVING = "archive_mode = on\narchive_command = 'test ! -f {archive}/%f && install -m 644 %p {archive}/%f'\n"
RECOVERY = (
    "restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\nrecovery_target_action = promote\n"
)


def main() -> None:
    """Run the drill; exit with 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images of each of the two jobs (%(default)s)")
    images: int = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="starlight-drill-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        seen = drill(folder, images)
    print(json.dumps(seen, indent=1))
    sys.exit(0 if seen["exact"] else 1)


def drill(folder: Path, images: int) -> dict[str, Any]:
    """Return the results: sizes in bytes, times in seconds, and whether everything was restored."""
    archive = folder / "archive"
    archive.mkdir()
    # Both servers write to it, possibly under other accounts.
    archive.chmod(0o777)
    server = EmbeddedPostgres(folder / "first", secrets.token_urlsafe(24))
    restored = EmbeddedPostgres(folder / "second", server.password)
    try:
        return lose_and_restore(server, restored, folder, images)
    finally:
        server.stop()
        restored.stop()


def lose_and_restore(server: EmbeddedPostgres, restored: EmbeddedPostgres, folder: Path, images: int) -> dict[str, Any]:
    """Lose the first server and restore the second; return the results."""
    archive = folder / "archive"
    url = start_archiving(server, archive)
    engine = connect(url)
    upgrade_schema(engine)
    ended = submit(engine, images)
    finish(engine, 10 * images)
    started = time.perf_counter()
    backup = back_up(url, folder / "backup")
    seen: dict[str, Any] = {"backup_s": round(time.perf_counter() - started, 2), "backup_bytes": measure(backup)}
    running = submit(engine, images)
    finish(engine, images // 2)
    before = list(audit_jobs(engine, [ended, running]))
    moment = lose_everything(url)
    engine.dispose()
    kill(server)
    seen["archive_bytes"] = measure(archive)

    started = time.perf_counter()
    engine = connect(restore(restored, backup, archive, moment))
    seen["restore_s"] = round(time.perf_counter() - started, 2)
    check_schema(engine)
    after = list(audit_jobs(engine, [ended, running]))
    finish(engine, 10 * images)
    at_last = list(audit_jobs(engine))
    engine.dispose()
    seen |= {
        "restored_to": moment.isoformat(),
        "verdicts_before": count(before),
        "verdicts_restored": count(after),
        "verdicts_at_last": count(at_last),
    }
    return seen | {"exact": before == after and len(at_last) == 2 and all(audit.exact for audit in at_last)}


def start_archiving(server: EmbeddedPostgres, archive: Path) -> str:
    """Start a server that archives its WAL; return its URL."""
    server.start()
    server.stop()
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(ARCHIVING.format(archive=archive))
    return server.start()


def submit(engine: Engine, images: int) -> uuid.UUID:
    """Submit a job with this number of made-up references."""
    references = (f"file:///images/{number}.png" for number in range(images))
    return submit_job(engine, references, JobOptions(), submitter="drill").job_id


def finish(engine: Engine, images: int) -> None:
    """Store made-up verdicts for waiting chunks until this number of images has one, or no chunk waits."""
    model = register_model(engine, name="v4", version="0", sha256="0" * 64, threshold=0.5)
    while images > 0 and (chunks := pick_chunks(engine, Priority.BULK, 8)):
        for chunk in chunks[: max(1, images // chunks[0].images)]:
            claim = claim_chunk(engine, chunk.chunk_id, f"cpu0@drill {uuid.uuid4().hex}", LEASE_S)
            assert claim is not None, "nobody else claims it"
            verdicts = [
                NewVerdict(
                    ordinal, uri, Outcome.CLEAN, sha256=bytes(32), stego_probability=0.01, model_id=model, width=1,
                    height=1, format="PNG", size_bytes=1,
                )
                for ordinal, uri in claim.images
            ]  # fmt: skip
            assert finish_chunk(engine, claim, verdicts), "the claim holds"
            images -= len(verdicts)
        with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as others:
            others.execute("UPDATE chunks SET state = 'pending' WHERE state = 'dispatched'")


def back_up(url: str, folder: Path) -> Path:
    """Make a base backup of the running server."""
    address = make_url(url).set(database="postgres").render_as_string(hide_password=False)
    command = [str(find_binaries() / "pg_basebackup"), "-d", address, "-D", str(folder), "-X", "none", "-c", "fast"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def lose_everything(url: str) -> datetime:
    """Delete all jobs; return the time before the deletion, once the WAL up to the deletion is archived."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        connection.execute("DELETE FROM jobs")
        last = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert last is not None
        while not connection.execute(
            "SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal >= %s", [last[0]]
        ).fetchone():
            time.sleep(0.05)
    moment: datetime = row[0]
    return moment


def restore(server: EmbeddedPostgres, backup: Path, archive: Path, moment: datetime) -> str:
    """Start a server from the backup and the WAL up to this time; return its URL once it accepts writes."""
    server.folder.mkdir(mode=0o711, exist_ok=True)
    shutil.copytree(backup, server.data)
    server.data.chmod(0o700)
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        # The first still archives under these names.
        settings.write("archive_mode = off\n" + RECOVERY.format(archive=archive, moment=moment.isoformat()))
    (server.data / "recovery.signal").touch()
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT 1 WHERE pg_is_in_recovery()").fetchone():
            time.sleep(0.05)
    return url


def kill(server: EmbeddedPostgres) -> None:
    """Shut the server down without a checkpoint, and wait until it has ended."""
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.05)


def measure(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def count(audits: Sequence[Audit]) -> list[int]:
    """Return the number of verdicts of each job."""
    return [audit.verdicts for audit in audits]


if __name__ == "__main__":
    main()
