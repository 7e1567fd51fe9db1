"""Loses a database and restores it to a point in time before the loss: `scripts/backup_drill`.

A PostgreSQL archives its WAL and is backed up while jobs are scanned. Its verdicts are in several partitions, of which
one is created, and two are dropped by retention, after the backup. Then all jobs are deleted, the server is killed, and
a second server is restored from the backup and the WAL to the moment before the deletion. The drill compares
partitions and audits of all jobs with those before, and finishes the job that was running. It prints the results as one
JSON object, and exits with 1 if anything is missing.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, text

from research.backup_methods import BackupError, BackupMethod, BaseBackup, PgBackRest, write_settings
from research.filling import cut_partitions
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome, Priority
from storage.audits import Audit, audit_jobs
from storage.chunks import claim_chunk, finish_chunk
from storage.database import connect
from storage.dispatch import pick_chunks
from storage.embedded.postgres import EmbeddedPostgres, find_binaries
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.partitions import Partition, list_partitions, make_partition_ahead, read_time
from storage.purging import purge_partitions
from storage.schema_version import check_schema, upgrade_schema
from storage.submission import submit_job

LEASE_S = 60.0
# Partitions of old jobs, of thirty days each; each has one job in its middle.
OLD_PARTITIONS = 6
DAYS = 30
OLD_IMAGES = 256
# Drops the oldest two of them.
RETENTION = timedelta(days=(OLD_PARTITIONS - 2) * DAYS - 5)
# A job that ended so many days ago without finding its images.
INSERT_OLD_JOB = text("""
    WITH stored AS (
        INSERT INTO jobs (id, submitter, priority, state, total, error, created_at, finished_at)
        SELECT uuidv7(-age), 'drill', 'bulk', 'done', :images, :images, now() - age, now() - age
        FROM make_interval(days => :days) AS age RETURNING id
    ), cut AS (
        INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images, state)
        SELECT id, 'drill', 'bulk', 0, (
            SELECT array_agg(format('file:///old/%s.png', ordinal) ORDER BY ordinal)
            FROM generate_series(0, :images - 1) AS ordinal
        ), :images, 'done' FROM stored
    )
    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code)
    SELECT id, ordinal, 0, format('file:///old/%s.png', ordinal), 'error', 'not_found'
    FROM stored, generate_series(0, :images - 1) AS ordinal
""")


def main() -> None:
    """Run the drill; exit with 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images of each of the two jobs (%(default)s)")
    parser.add_argument("--postgresql", type=Path, help="folder of another PostgreSQL's programs")
    parser.add_argument("--pgbackrest", action="store_true", help="by pgBackRest, which must know the server's version")
    arguments = parser.parse_args()
    if arguments.pgbackrest and shutil.which("pgbackrest") is None:
        parser.error("there is no pgBackRest here: `apt install pgbackrest`")
    with tempfile.TemporaryDirectory(prefix="starlight-drill-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        programs = arguments.postgresql or find_binaries()
        try:
            seen = drill(
                folder, programs, PgBackRest(folder) if arguments.pgbackrest else BaseBackup(folder, programs),
                arguments.images,
            )  # fmt: skip
        except BackupError as error:
            sys.exit(str(error))
    print(json.dumps(seen, indent=1))
    sys.exit(0 if seen["exact"] else 1)


def drill(folder: Path, programs: Path, method: BackupMethod, images: int) -> dict[str, Any]:
    """Return the results: sizes in bytes, times in seconds, and whether everything was restored."""
    server = EmbeddedPostgres(folder / "first", secrets.token_urlsafe(24), programs)
    restored = EmbeddedPostgres(folder / "second", server.password, programs)
    try:
        return lose_and_restore(server, restored, method, images)
    finally:
        server.stop()
        restored.stop()


def lose_and_restore(
    server: EmbeddedPostgres, restored: EmbeddedPostgres, method: BackupMethod, images: int
) -> dict[str, Any]:
    """Lose the first server and restore the second; return the results."""
    url = start_archiving(server, method)
    engine = connect(url)
    upgrade_schema(engine)
    make_old_jobs(engine)
    submit(engine, images)
    finish(engine, 10 * images)
    at_backup = read_partitions(engine)
    started = time.perf_counter()
    method.back_up(server, url)
    seen: dict[str, Any] = {"server": read_version(engine), "backup_s": round(time.perf_counter() - started, 2)}
    submit(engine, images)
    finish(engine, images // 2)
    assert make_partition_ahead(engine) is not None, "the newest was dropped"
    purged = sum(purge_partitions(engine, read_time(engine) - RETENTION))
    before, partitions = list(audit_jobs(engine)), read_partitions(engine)
    moment = lose_everything(url)
    engine.dispose()
    kill(server)
    seen["backup_bytes"], seen["archive_bytes"] = method.measure()

    started = time.perf_counter()
    engine = connect(restore(restored, server, method, moment))
    seen["restore_s"] = round(time.perf_counter() - started, 2)
    check_schema(engine)
    after, partitions_after = list(audit_jobs(engine)), read_partitions(engine)
    finish(engine, 10 * images)
    while make_partition_ahead(engine):
        pass
    at_last = list(audit_jobs(engine))
    partitions_at_last = read_partitions(engine)
    engine.dispose()
    seen |= {
        "restored_to": moment.isoformat(),
        "jobs_purged": purged,
        "partitions_at_backup": len(at_backup),
        "partitions_dropped_since": len(set(at_backup) - set(partitions)),
        "partitions_created_since": len(set(partitions) - set(at_backup)),
        "partitions_restored": len(partitions_after),
        "partitions_at_last": len(partitions_at_last),
        "verdicts_before": count(before),
        "verdicts_restored": count(after),
        "verdicts_at_last": count(at_last),
    }
    exact = before == after and len(at_last) == len(before) and all(audit.exact for audit in at_last)
    return seen | {"exact": exact and partitions == partitions_after}


def start_archiving(server: EmbeddedPostgres, method: BackupMethod) -> str:
    """Start a server that archives its WAL; return its URL."""
    server.start()
    server.stop()
    write_settings(server, method.write_archiving(server))
    return server.start()


def make_old_jobs(engine: Engine) -> None:
    """Cut an empty database's first partition into several, with a job in each, and drop the newest one."""
    cut_partitions(engine, OLD_PARTITIONS, OLD_PARTITIONS * DAYS)
    with engine.begin() as connection:
        newest = list_partitions(connection)[-1].name
        connection.execute(text(f"ALTER TABLE verdicts DETACH PARTITION {newest}"))
        connection.execute(text(f"DROP TABLE {newest}"))
        for number in range(OLD_PARTITIONS):
            connection.execute(INSERT_OLD_JOB, {"days": number * DAYS + DAYS // 2, "images": OLD_IMAGES})


def read_partitions(engine: Engine) -> list[Partition]:
    """Return the partitions of the verdicts."""
    with engine.connect() as connection:
        return list_partitions(connection)


def read_version(engine: Engine) -> str:
    """Return the server's version."""
    with engine.connect() as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one())


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


def restore(restored: EmbeddedPostgres, lost: EmbeddedPostgres, method: BackupMethod, moment: datetime) -> str:
    """Start a server from the backup and the WAL up to this time; return its URL once it accepts writes."""
    restored.folder.mkdir(mode=0o711, exist_ok=True)
    if os.geteuid() == 0:
        # The account under which the first one ran, which may read the backup.
        os.chown(restored.folder, 0, lost.folder.stat().st_gid)
    method.restore_files(restored, moment)
    url = restored.start()
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


def count(audits: Sequence[Audit]) -> list[int]:
    """Return the number of verdicts of each job."""
    return [audit.verdicts for audit in audits]


if __name__ == "__main__":
    main()
