"""Pausing, draining, requeueing and changing priorities: nothing is lost or doubled, and each can be undone."""

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.operations import Action, PauseSubject, RequeueRequest
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.chunks import claim_chunk, finish_chunk, renew_leases
from storage.draining import is_draining, set_draining
from storage.jobs import cancel_job
from storage.operations import OperationError, list_operations
from storage.pauses import list_pauses, pause_chunks, resume_chunks
from storage.requeueing import change_priority, requeue_chunks
from storage.settings import Settings
from storage.submission import submit_job
from storage.unclaimed_chunks import find_waiting_chunk
from storage.workers import list_live_workers, remove_worker, report_worker
from tests.kit.detectors import HeldDetector
from tests.kit.pictures import encode_pattern
from tests.kit.rows import (
    LEASE_S,
    claim_waiting_chunks,
    finish_waiting_chunks,
    make_verdicts,
    pick_ids,
    read_chunk_states,
    read_job,
    register_v4,
    submit_job_of,
)
from tests.kit.threads import PATIENCE_S, start_thread
from worker.chunks import HELD_BACK, NOTHING_STORED
from worker.process import WorkerProcess

WINDOW = 100
Subject = Callable[[uuid.UUID], PauseSubject]
SUBJECTS: dict[str, Subject] = {
    "priority": lambda _: PauseSubject(priority=Priority.BULK),
    "submitter": lambda _: PauseSubject(submitter="ann"),
    "job": lambda job_id: PauseSubject(job_id=job_id),
    "everything": lambda _: PauseSubject(),
}


def pick(engine: Engine, priority: Priority = Priority.BULK) -> list[uuid.UUID]:
    return pick_ids(engine, priority, WINDOW)


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_is_paused_is_not_picked_and_not_claimed_until_it_is_resumed(engine: Engine, name: str) -> None:
    job_id = submit_job_of(engine, 12)
    subject = SUBJECTS[name](job_id)
    running, dispatched, _ = pick(engine)
    claim = claim_chunk(engine, running, "cpu0@here 1", LEASE_S)
    assert claim is not None

    pause = pause_chunks(engine, subject, "olga")

    assert pause.subject == subject
    assert read_chunk_states(engine) == ["running", "pending", "pending"]
    assert pick(engine) == []
    waiting = find_waiting_chunk(engine, dispatched, "cpu0@here")
    assert waiting is not None
    assert waiting.is_held
    assert claim_chunk(engine, dispatched, "cpu0@here 2", LEASE_S) is None
    # An existing claim is kept, and returned again, because its response may have been lost.
    assert claim_chunk(engine, running, "cpu0@here 1", LEASE_S) is not None
    assert renew_leases(engine, [claim], LEASE_S) == [claim]

    resume_chunks(engine, subject, "otto")

    assert list_pauses(engine) == []
    finish_waiting_chunks(engine)
    requeue_chunks(engine, RequeueRequest(), "olga")
    finish_waiting_chunks(engine)
    assert next(audit_jobs(engine, [job_id])).exact
    done = [(each.done_by, each.action, each.subject, each.chunks) for each in reversed(list_operations(engine, 2 + 1))]
    assert done[:2] == [("olga", Action.PAUSE, str(subject), 2), ("otto", Action.RESUME, str(subject), 0)]


@pytest.mark.parametrize("name", ["priority", "submitter", "job"])
def test_others_go_on_while_some_are_paused(engine: Engine, name: str) -> None:
    held = submit_job_of(engine, 8)
    pause_chunks(engine, SUBJECTS[name](held), "olga")
    other = submit_job_of(engine, 8, submitter="bob", priority=Priority.INTERACTIVE)

    assert len(pick(engine, Priority.INTERACTIVE)) == 2
    assert pick(engine) == []
    assert read_job(engine, other).submitter == "bob"


def test_what_comes_later_is_held_back_too(engine: Engine) -> None:
    pause_chunks(engine, PauseSubject(submitter="ann"), "olga")
    submit_job_of(engine, 4)

    assert pick(engine) == []


def test_a_pause_that_is_made_while_somebody_picks_holds_what_he_picked(engine: Engine) -> None:
    submit_job_of(engine, 4)
    with engine.begin() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({0x44495350})"))
        connection.execute(text("UPDATE chunks SET state = 'dispatched'"))
        paused = start_thread(pause_chunks, engine, PauseSubject(), "olga")
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
            while not looking.execute(waits).scalar_one():
                assert not paused.done()

    paused.result(PATIENCE_S)

    assert read_chunk_states(engine) == ["pending"]


def test_pausing_twice_is_pausing_once(engine: Engine) -> None:
    first = pause_chunks(engine, PauseSubject(submitter="ann"), "olga")

    assert pause_chunks(engine, PauseSubject(submitter="ann"), "otto") == first
    assert len(list_operations(engine, 10)) == 1


def test_a_pause_of_a_job_ends_with_it(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    pause_chunks(engine, PauseSubject(job_id=job_id), "olga")

    assert cancel_job(engine, job_id) == 4

    assert list_pauses(engine) == []


@pytest.mark.parametrize(("subject", "reason"), [
    (PauseSubject(job_id=uuid.UUID(int=1)), "there is no open job 00000000"),
    (PauseSubject(submitter="ann", priority=Priority.BULK), "has one subject"),
])  # fmt: skip
def test_a_pause_of_nothing_is_refused(engine: Engine, subject: PauseSubject, reason: str) -> None:
    with pytest.raises(OperationError, match=reason):
        pause_chunks(engine, subject, "olga")


def test_resuming_what_is_not_paused_says_what_is(engine: Engine) -> None:
    pause_chunks(engine, PauseSubject(submitter="ann"), "olga")

    with pytest.raises(OperationError, match="priority bulk is not paused; paused: submitter ann"):
        resume_chunks(engine, PauseSubject(priority=Priority.BULK), "olga")


@pytest.fixture
def detector() -> HeldDetector:
    return HeldDetector()


class Consuming:
    """Records whether the worker process is to consume messages."""

    def __init__(self) -> None:
        self.told = threading.Condition()
        self.wanted = True

    def set(self, wanted: bool) -> None:
        with self.told:
            self.wanted = wanted
            self.told.notify_all()

    def wait_for(self, wanted: bool) -> None:
        with self.told:
            assert self.told.wait_for(lambda: self.wanted == wanted, PATIENCE_S)


@pytest.fixture
def consuming() -> Consuming:
    return Consuming()


@pytest.fixture
def process(
    engine: Engine, configured: Settings, detector: HeldDetector, consuming: Consuming
) -> Iterator[WorkerProcess]:
    process = WorkerProcess(
        engine, configured, name="cpu0@here", device="cpu0", detector=detector, consume=consuming.set
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture
def job_id(engine: Engine, tmp_path: Path) -> uuid.UUID:
    """A job of two chunks."""
    paths = [tmp_path / name for name in ("one.png", "two.png")]
    for path in paths:
        path.write_bytes(encode_pattern("PNG"))
    return submit_job(engine, [path.as_uri() for path in paths], submitter="ann", chunk_size=1).job_id


def test_a_worker_that_drains_finishes_what_it_has_and_claims_no_more_until_it_is_told(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, consuming: Consuming, job_id: uuid.UUID
) -> None:
    first, second = pick(engine)
    detector.may_score.clear()
    running = start_thread(process.scan_chunk, first)
    assert detector.asked.wait(PATIENCE_S)

    assert set_draining(engine, "cpu0@here", LEASE_S, "olga") == ["cpu0@here"]

    consuming.wait_for(False)
    assert process.scan_chunk(second) == HELD_BACK
    assert claim_chunk(engine, second, "cpu0@here 1", LEASE_S) is None
    detector.may_score.set()
    assert running.result(PATIENCE_S) == "1 image: all clean"
    assert read_chunk_states(engine) == ["done", "pending"]
    # The worker is still draining after its next report.
    process.report()
    assert [each.draining for each in list_live_workers(engine, LEASE_S)] == [True]
    assert claim_chunk(engine, second, "cpu1@here 1", LEASE_S) is not None
    requeue_chunks(engine, RequeueRequest(worker="cpu1@here"), "olga")

    assert set_draining(engine, None, LEASE_S, "olga", draining=False) == ["cpu0@here"]

    consuming.wait_for(True)
    assert [process.scan_chunk(chunk) for chunk in pick(engine)] == ["1 image: all clean"]
    assert next(audit_jobs(engine, [job_id])).exact
    assert [each.action for each in list_operations(engine, 9)] == [Action.UNDRAIN, Action.REQUEUE, Action.DRAIN]


def test_a_worker_that_is_not_alive_cannot_drain(engine: Engine) -> None:
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))

    with pytest.raises(OperationError, match="no worker cpu9@here is alive; live workers: cpu0@here"):
        set_draining(engine, "cpu9@here", LEASE_S, "olga")
    set_draining(engine, None, LEASE_S, "olga")
    assert is_draining(engine, "cpu0@here")
    remove_worker(engine, "cpu0@here")
    with pytest.raises(OperationError, match="no worker is alive; live workers: none"):
        set_draining(engine, None, LEASE_S, "olga")


def test_a_chunk_that_is_sent_back_is_let_go_of_and_scanned_once(
    engine: Engine, process: WorkerProcess, detector: HeldDetector, job_id: uuid.UUID
) -> None:
    first, _ = pick(engine)
    detector.may_score.clear()
    running = start_thread(process.scan_chunk, first)
    assert detector.asked.wait(PATIENCE_S)

    assert requeue_chunks(engine, RequeueRequest(job_id=job_id), "olga") == 2

    assert read_chunk_states(engine) == ["pending", "pending"]
    again = pick(engine)
    detector.may_score.set()
    assert running.result(PATIENCE_S) == NOTHING_STORED
    assert [process.scan_chunk(chunk) for chunk in again] == ["1 image: all clean"] * 2
    audit = next(audit_jobs(engine, [job_id]))
    assert audit.exact
    with engine.connect() as connection:
        assert connection.execute(text("SELECT max(losses) FROM chunks")).scalar_one() == 0
    assert [(each.action, each.chunks) for each in list_operations(engine, 9)] == [(Action.REQUEUE, 2)]


def test_the_old_claim_of_a_chunk_that_is_sent_back_stores_nothing(engine: Engine) -> None:
    submit_job_of(engine, 8)
    mine, others = claim_waiting_chunks(engine, "cpu0@here 1")
    claim_waiting_chunks(engine)

    assert requeue_chunks(engine, RequeueRequest(worker="cpu0@here"), "olga") == 2

    assert renew_leases(engine, [mine, others], LEASE_S) == [mine, others]
    assert not finish_chunk(engine, mine, make_verdicts(engine, mine))
    assert [claim.attempt for claim in claim_waiting_chunks(engine)] == [mine.attempt + 2] * 2
    with pytest.raises(OperationError, match="has one subject"):
        requeue_chunks(engine, RequeueRequest(worker="cpu0@here", job_id=mine.job_id), "olga")


def test_chunks_of_a_worker_are_sent_back_if_it_is_known(engine: Engine) -> None:
    with pytest.raises(OperationError, match="no worker cpu0@here is known; known workers: none"):
        requeue_chunks(engine, RequeueRequest(worker="cpu0@here"), "olga")
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))
    assert requeue_chunks(engine, RequeueRequest(worker="cpu0@here"), "olga") == 0
    with pytest.raises(OperationError, match="no worker cpu0 is known; known workers: cpu0@here"):
        requeue_chunks(engine, RequeueRequest(worker="cpu0"), "olga")
    # One that ended without a word is known by its chunks.
    submit_job_of(engine, 4)
    claim_waiting_chunks(engine, "cpu1@here 1")
    assert requeue_chunks(engine, RequeueRequest(worker="cpu1@here"), "olga") == 1


def test_a_job_changes_its_queue_and_what_runs_finishes(engine: Engine) -> None:
    job_id = submit_job_of(engine, 12)
    running, *_ = pick(engine)
    claim = claim_chunk(engine, running, "cpu0@here 1", LEASE_S)
    assert claim is not None

    change_priority(engine, job_id, Priority.INTERACTIVE, "olga")
    change_priority(engine, job_id, Priority.INTERACTIVE, "olga")

    assert read_job(engine, job_id).priority is Priority.INTERACTIVE
    assert pick(engine) == []
    assert len(pick(engine, Priority.INTERACTIVE)) == 2
    assert finish_chunk(engine, claim, make_verdicts(engine, claim))
    (operation,) = list_operations(engine, 9)
    assert (operation.subject, operation.chunks) == (f"job {job_id} to interactive", 2)
    assert cancel_job(engine, job_id) == 8
    with pytest.raises(OperationError, match="there is no open job"):
        change_priority(engine, job_id, Priority.BULK, "olga")
