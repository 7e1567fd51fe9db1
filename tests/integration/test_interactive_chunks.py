"""Interactive chunks while bulk chunks keep all task threads of a worker busy."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import JobState, Priority
from storage.audits import audit_jobs
from storage.settings import Settings
from storage.submission import submit_job
from storage.unclaimed_chunks import list_dispatched_chunks
from tests.kit.changes import wait_for_change
from tests.kit.detectors import HeldDetector
from tests.kit.pictures import encode_pattern
from tests.kit.rows import pick_ids, read_job
from tests.kit.threads import PATIENCE_S
from tests.kit.worker_process import run_worker_process
from worker.process import WorkerProcess
from worker.slots import SPARE_THREADS


@pytest.fixture
def detector() -> HeldDetector:
    return HeldDetector()


@pytest.fixture
def process(engine: Engine, configured: Settings, detector: HeldDetector) -> Iterator[WorkerProcess]:
    settings = configured.model_copy(update={"chunks_in_flight": 1})
    with run_worker_process(engine, settings, detector) as process:
        yield process


@pytest.fixture
def reference(tmp_path: Path) -> str:
    path = tmp_path / "clean.png"
    path.write_bytes(encode_pattern("PNG"))
    return path.as_uri()


def test_interactive_chunks_need_no_free_task_thread(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, reference: str
) -> None:
    bulk = [submit_job(engine, [reference], submitter="ann").job_id for _ in range(1 + SPARE_THREADS)]
    detector.may_score.clear()
    with ThreadPoolExecutor() as pool:
        scans = [pool.submit(process.scan_chunk, chunk) for chunk in pick_ids(engine, Priority.BULK, 10)]
        assert detector.asked.wait(PATIENCE_S)

        urgent = submit_job(engine, [reference], JobOptions(priority=Priority.INTERACTIVE), submitter="ben").job_id
        pick_ids(engine, Priority.INTERACTIVE, 10)
        wait_for_change(engine, "jobs", lambda: read_job(engine, urgent).state is JobState.RUNNING)
        detector.may_score.set()

        wait_for_change(engine, "jobs", lambda: read_job(engine, urgent).state is JobState.DONE)
        assert [scan.result(PATIENCE_S) for scan in scans] == ["1 image: all clean"] * len(bulk)
    assert all(audit.exact for audit in audit_jobs(engine, [*bulk, urgent]))


def test_a_free_task_thread_is_left_to_take_the_message(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, reference: str
) -> None:
    submit_job(engine, [reference], JobOptions(priority=Priority.INTERACTIVE), submitter="ann")
    (chunk,) = pick_ids(engine, Priority.INTERACTIVE, 10)

    process.stop()

    assert [each.chunk_id for each in list_dispatched_chunks(engine, Priority.INTERACTIVE)] == [chunk]
    assert not detector.asked.is_set()
