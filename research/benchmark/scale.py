"""Load test of one PostgreSQL: verdicts of simulated workers, and a dispatcher's rounds over a long backlog.

A simulated worker is a process with one connection that claims chunks one by one and finishes them with made-up
verdicts, by the same functions as a worker. Servers sync to disk, as in production.
"""

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from research.benchmark.stack import MeasuredStack, run_servers
from starlight_vocabulary.words import Outcome, Priority
from storage.chunks import claim_chunk, finish_chunk
from storage.database import connect
from storage.dispatch import pick_chunks
from storage.figures import take_figures
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.processes import measure_ages

WORKERS = (1, 4, 16)
SUBMITTERS = 1000
# The dispatch window of this number of workers.
WINDOW = 16 * WORKERS[-1]
ROUNDS = 20
LEASE_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")

# One job for each submitter with its share of the chunks; the references are never read.
INSERT_BACKLOG = text("""
    WITH stored AS (
        INSERT INTO jobs (submitter, priority, total)
        SELECT 'submitter ' || number, 'bulk', CAST(:chunks AS int) FROM generate_series(1, :submitters) AS number
        RETURNING id, submitter, total
    )
    INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images)
    SELECT id, submitter, 'bulk', ordinal, ARRAY['file:///images/' || ordinal], 1
    FROM stored, generate_series(0, total - 1) AS ordinal
""")
END_DISPATCHED = text("UPDATE chunks SET state = 'done' WHERE state = 'dispatched'")
LIST_CHUNKS = text("SELECT id FROM chunks WHERE job_id = :job ORDER BY first_ordinal")
# Bytes of WAL since the server was created, and of all partitions of the verdicts with their indexes.
READ_SIZES = text("""
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal,
        (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('verdicts'))::float8 AS stored
""")


def measure_scale(chunks: int, finished: int, chunk_size: int) -> dict[str, Any]:
    """Return the figures of a backlog of `chunks`, and of workers that finish `finished` chunks of `chunk_size`.

    Prints each figure to standard error when it is measured, since all of them take long.
    """
    figures: dict[str, Any] = {"chunk_size": chunk_size}

    def note(more: dict[str, Any]) -> None:
        print(more, file=sys.stderr)
        figures.update(more)

    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as name:
        Path(name).chmod(0o711)
        with run_servers(Path(name)) as running:
            for workers in WORKERS:
                note(_measure_workers(running, workers, finished, chunk_size, jobs=workers))
            note(_measure_workers(running, WORKERS[-1], finished, chunk_size, jobs=1))
            running.forget()
            note(_measure_backlog(running.engine, chunks))
            note(_measure_workers(running, WORKERS[-1], finished, chunk_size, jobs=WORKERS[-1], backlog=True))
    return figures


def _measure_backlog(engine: Engine, chunks: int) -> dict[str, Any]:
    each = max(1, chunks // SUBMITTERS)
    with engine.begin() as connection:
        connection.execute(INSERT_BACKLOG, {"submitters": SUBMITTERS, "chunks": each})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE chunks, jobs"))

    def do_round() -> None:
        assert len(pick_chunks(engine, Priority.BULK, WINDOW)) > 0

    def end_round() -> None:
        with engine.begin() as connection:
            connection.execute(END_DISPATCHED)

    figures: dict[str, Any] = {"waiting_chunks": each * SUBMITTERS, "submitters": SUBMITTERS}
    figures |= _time("dispatcher_round", do_round, end_round)
    figures |= _time("exporter_figures", lambda: take_figures(engine), lambda: None, rounds=3)
    figures |= _time("exporter_ages", lambda: measure_ages(engine), lambda: None, rounds=3)
    return figures


def _time(name: str, work: Callable[[], object], after: Callable[[], None], rounds: int = ROUNDS) -> dict[str, float]:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
        after()
    return {
        f"{name}_p50_ms": round(1000 * statistics.median(seconds), 1),
        f"{name}_max_ms": round(1000 * max(seconds), 1),
    }


def _measure_workers(
    running: MeasuredStack, workers: int, finished: int, chunk_size: int, *, jobs: int, backlog: bool = False
) -> dict[str, Any]:
    """Return verdicts per second and costs per verdict of `workers` workers that share `jobs` jobs."""
    engine = running.engine
    references = [f"file:///images/{number}.png" for number in range(finished * chunk_size // jobs)]
    job_ids = [running.submit(references, submitter=f"submitter {number}") for number in range(jobs)]
    with engine.connect() as connection:
        ids = [list(connection.execute(LIST_CHUNKS, {"job": job_id}).scalars()) for job_id in job_ids]
        before = connection.execute(READ_SIZES).one()
    shares = ids if jobs == workers else [ids[0][worker::workers] for worker in range(workers)]
    model = register_model(engine, name="v4", version="0", sha256="0" * 64, threshold=0.5)
    url = running.addresses.database_url
    cpu_before = _measure_server(running)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        spans = [
            done.result()
            for done in [
                pool.submit(finish_chunks, url, share, f"cpu{n}@bench", model) for n, share in enumerate(shares)
            ]
        ]
    cpu_s = _measure_server(running) - cpu_before
    with engine.connect() as connection:
        after = connection.execute(READ_SIZES).one()
    verdicts = finished * chunk_size
    name = f"{workers}_workers" + ("_of_one_job" if jobs == 1 and workers > 1 else "") + ("_in_backlog" * backlog)
    took_s = max(end for _, end in spans) - min(start for start, _ in spans)
    return {
        f"verdicts_per_second_{name}": round(verdicts / took_s),
        f"server_s_per_million_verdicts_{name}": round(1e6 * cpu_s / verdicts, 1),
        f"wal_bytes_per_verdict_{name}": round((after.wal - before.wal) / verdicts),
        f"stored_bytes_per_verdict_{name}": round((after.stored - before.stored) / verdicts),
    }


def _measure_server(running: MeasuredStack) -> float:
    """Return PostgreSQL's processor time so far in seconds, including that of its ended processes."""
    postmaster = (running.settings.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Fields of proc(5) from the third on: the second, the name in parentheses, may contain anything.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if path.parent.name == postmaster:
            ticks += sum(map(int, fields[11:15]))
        elif fields[1] == postmaster:
            ticks += sum(map(int, fields[11:13]))
    return ticks / TICKS


def finish_chunks(url: str, ids: Sequence[uuid.UUID], worker: str, model_id: int) -> tuple[float, float]:
    """Claim and finish these chunks one by one; return start and end time."""
    engine = connect(url, pool_size=1, application=f"starlight {worker}")
    with engine.connect():
        pass
    started = time.monotonic()
    for chunk_id in ids:
        claim = claim_chunk(engine, chunk_id, f"{worker} {chunk_id.hex}", LEASE_S)
        assert claim is not None, "nobody else claims it"
        verdicts = [
            NewVerdict(
                ordinal, uri, Outcome.CLEAN, sha256=uuid.uuid4().bytes * 2, stego_probability=0.01, model_id=model_id,
                width=1024, height=768, format="PNG", size_bytes=250_000,
            )
            for ordinal, uri in claim.images
        ]  # fmt: skip
        assert finish_chunk(engine, claim, verdicts), "the claim holds"
    ended = time.monotonic()
    engine.dispose()
    return started, ended
