"""One worker process against the real database, with a scorer that the tests control."""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.dispatch import recover_lost_chunk
from storage.settings import Settings
from storage.submission import submit_job
from storage.workers import list_live_workers
from tests.kit.changes import wait_for_change
from tests.kit.detectors import CARD, HeldDetector
from tests.kit.pictures import encode_pattern
from tests.kit.rows import execute, pick_ids, read_chunk_states, read_job
from tests.kit.threads import PATIENCE_S, Waits
from tests.kit.worker_process import run_worker_process
from worker import gate
from worker.chunks import NOTHING_TO_DO
from worker.process import WorkerProcess
from worker.v4.detector import Score
from worker.v4.planes import PlaneArray

LEASE_S = 0.4


@pytest.fixture
def detector() -> HeldDetector:
    return HeldDetector()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Detects threads that wait at the gate of a worker process, which must be created later."""
    return Waits(monkeypatch, gate)


@pytest.fixture
def process(engine: Engine, configured: Settings, detector: HeldDetector) -> Iterator[WorkerProcess]:
    settings = configured.model_copy(update={"lease_s": LEASE_S})
    with run_worker_process(engine, settings, detector) as process:
        yield process


@pytest.fixture
def references(tmp_path: Path) -> list[str]:
    (tmp_path / "clean.png").write_bytes(encode_pattern("PNG"))
    (tmp_path / "none.png").write_bytes(b"none")
    return [(tmp_path / name).as_uri() for name in ("clean.png", "none.png")]


def test_a_chunk_is_scanned_once_however_often_its_message_comes(
    engine: Engine, process: WorkerProcess, references: list[str]
) -> None:
    job_id = submit_job(engine, references, submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)

    assert process.scan_chunk(chunk) == "2 images: 1 error"
    assert process.scan_chunk(chunk) == NOTHING_TO_DO

    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.error) == ("done", 1, 1)
    assert next(audit_jobs(engine, [job_id])).exact


def test_a_message_that_comes_three_times_at_once_is_scanned_once(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, references: list[str]
) -> None:
    job_id = submit_job(engine, references, submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    detector.may_score.clear()

    with ThreadPoolExecutor() as pool:
        scans = [pool.submit(process.scan_chunk, chunk) for _ in range(3)]
        first, second = islice(as_completed(scans, PATIENCE_S), 2)
        assert first.result() == second.result() == NOTHING_TO_DO
        detector.may_score.set()
        assert sorted(scan.result(PATIENCE_S) for scan in scans) == ["2 images: 1 error", NOTHING_TO_DO, NOTHING_TO_DO]

    assert next(audit_jobs(engine, [job_id])).exact


def test_a_worker_is_alive_until_it_closes(engine: Engine, configured: Settings, detector: HeldDetector) -> None:
    process = WorkerProcess(engine, configured, name="gpu7@there", device="gpu7", detector=detector)
    process.start()
    assert [(worker.name, worker.device) for worker in list_live_workers(engine, 60)] == [("gpu7@there", "gpu7")]

    process.stop()

    assert list_live_workers(engine, 60) == []


def test_leases_are_renewed_while_a_chunk_is_scanned(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, references: list[str]
) -> None:
    submit_job(engine, references, submitter="ann")
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    detector.may_score.clear()

    def lease() -> datetime | None:
        with engine.connect() as connection:
            until: datetime | None = connection.execute(text("SELECT lease_until FROM chunks")).scalar_one()
        return until

    with ThreadPoolExecutor() as pool:
        scanned = pool.submit(process.scan_chunk, chunk)
        leases = set()

        def renewed_twice() -> bool:
            leases.add(lease())
            # The first lease, and two renewals.
            return len(leases - {None}) == 3

        wait_for_change(engine, "chunks", renewed_twice)
        assert not scanned.done()
        assert not recover_lost_chunk(engine, 3, 0.0)
        detector.may_score.set()
        assert scanned.result(PATIENCE_S) == "2 images: 1 error"


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ("ADD COLUMN newer int NOT NULL", "DROP COLUMN newer"),
        ("ADD CONSTRAINT refused CHECK (ordinal < 0)", "DROP CONSTRAINT refused"),
        ("RENAME COLUMN landed TO later", "RENAME COLUMN later TO landed"),
    ],
)
def test_a_schema_that_the_worker_does_not_know_costs_no_chunk(
    engine: Engine, configured: Settings, references: list[str], change: str, mend: str
) -> None:
    ended = threading.Event()
    old = WorkerProcess(engine, configured, name="cpu0@old", device="cpu0", detector=HeldDetector(), end=ended.set)
    old.start()
    job_id = submit_job(engine, references, submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    execute(engine, f"ALTER TABLE verdicts {change}")

    with pytest.raises(DBAPIError):
        old.scan_chunk(chunk)

    assert ended.is_set()
    assert read_chunk_states(engine) == ["pending"]
    assert not recover_lost_chunk(engine, 3, 0.0)
    old.stop()
    execute(engine, f"ALTER TABLE verdicts {mend}")
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    new = WorkerProcess(engine, configured, name="cpu0@new", device="cpu0", detector=HeldDetector())
    new.start()
    assert new.scan_chunk(chunk) == "2 images: 1 error"
    new.stop()
    assert next(audit_jobs(engine, [job_id])).exact


class GreedyDetector(HeldDetector):
    """A scorer that needs more memory than there is."""

    def score(
        self, batch: Sequence[np.void] | PlaneArray, thresholds: Sequence[float | None] | None = None
    ) -> list[Score]:
        raise MemoryError


def test_a_chunk_that_takes_more_memory_than_there_is_counts_as_lost(
    engine: Engine, configured: Settings, references: list[str]
) -> None:
    ended = threading.Event()
    process = WorkerProcess(
        engine, configured, name="cpu0@here", device="cpu0", detector=GreedyDetector(), end=ended.set
    )
    process.start()
    submit_job(engine, references, submitter="ann")
    (chunk,) = pick_ids(engine, Priority.BULK, 10)

    with pytest.raises(MemoryError):
        process.scan_chunk(chunk)

    assert ended.is_set()
    assert recover_lost_chunk(engine, 3, 0.0)
    process.stop()


def test_what_is_given_back_is_not_lost_and_its_verdicts_are_not_stored(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, references: list[str]
) -> None:
    job_id = submit_job(engine, references, submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    detector.may_score.clear()

    with ThreadPoolExecutor() as pool:
        scanned = pool.submit(process.scan_chunk, chunk)
        assert detector.asked.wait(PATIENCE_S)
        process.give_back()
        detector.may_score.set()
        assert scanned.result(PATIENCE_S).startswith("nothing stored")

    assert read_chunk_states(engine) == ["pending"]
    assert read_job(engine, job_id).finished == 0
    assert not recover_lost_chunk(engine, 3, 0.0)
    pick_ids(engine, Priority.BULK, 10)
    assert process.scan_chunk(chunk) == "2 images: 1 error"


def test_a_chunk_that_takes_too_long_ends_its_worker(
    engine: Engine, configured: Settings, detector: HeldDetector, references: list[str]
) -> None:
    ended = threading.Event()
    settings = configured.model_copy(update={"chunk_timeout_s": 0.05})
    process = WorkerProcess(engine, settings, name="cpu0@here", device="cpu0", detector=detector, end=ended.set)
    process.start()
    submit_job(engine, references, submitter="ann")
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    detector.may_score.clear()

    with ThreadPoolExecutor() as pool:
        scanned = pool.submit(process.scan_chunk, chunk)
        assert ended.wait(PATIENCE_S)
        detector.may_score.set()
        scanned.result(PATIENCE_S)
    process.stop()


def test_suspects_that_wait_their_turn_hold_no_lease(
    engine: Engine, waits: Waits, process: WorkerProcess, detector: HeldDetector, references: list[str]
) -> None:
    submit_job(engine, references, submitter="ann", chunk_size=1)
    execute(engine, "UPDATE chunks SET losses = 1")
    first_chunk, second_chunk = pick_ids(engine, Priority.BULK, 10)
    detector.may_score.clear()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(process.scan_chunk, first_chunk)
        assert detector.asked.wait(PATIENCE_S)
        second = pool.submit(process.scan_chunk, second_chunk)
        waits.await_next()
        assert read_chunk_states(engine) == ["running", "dispatched"]
        detector.may_score.set()
        assert first.result(PATIENCE_S) == "1 image: all clean"
        assert second.result(PATIENCE_S) == "1 image: 1 error"


def test_a_chunk_finishes_with_the_model_that_it_began_with(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, references: list[str]
) -> None:
    submit_job(engine, references, submitter="ann")
    submit_job(engine, references, submitter="ann")
    first_chunk, second_chunk = pick_ids(engine, Priority.BULK, 10)
    successor = HeldDetector()
    successor.model = dataclasses.replace(CARD, version="successor")
    detector.may_score.clear()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(process.scan_chunk, first_chunk)
        assert detector.asked.wait(PATIENCE_S)
        process.replace_model(successor)
        assert process.scan_chunk(second_chunk) == "2 images: 1 error"
        detector.may_score.set()
        assert first.result(PATIENCE_S) == "2 images: 1 error"

    with engine.connect() as connection:
        used = connection.execute(
            text("""
                SELECT version FROM verdicts JOIN models ON models.id = model_id
                WHERE outcome = 'clean' ORDER BY job_id
            """)
        ).scalars()
        assert list(used) == ["test", "successor"]
