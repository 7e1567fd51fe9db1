"""A connection that breaks during a commit: it is unknown whether the commit took effect, and it must not matter."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.database import connect
from storage.jobs import list_jobs
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.detectors import CARD, HeldDetector
from tests.kit.rows import pick_ids, read_job
from tests.kit.wire import Wire, open_wire_to
from worker.process import WorkerProcess


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with open_wire_to(database_url) as wire:
        yield wire


@pytest.fixture
def wired(wire: Wire) -> Iterator[Engine]:
    engine = connect(wire.url)
    yield engine
    engine.dispose()


# A scan has two commits: the claim, and the verdicts.
@pytest.mark.parametrize("commit", [0, 1])
@pytest.mark.parametrize("heard", [False, True])
def test_a_scan_whose_commit_is_cut_stores_each_verdict_once_and_loses_nothing(
    engine: Engine, wire: Wire, wired: Engine, configured: Settings, commit: int, heard: bool
) -> None:
    process = WorkerProcess(wired, configured, name="cpu0@here", device=CARD.name, detector=HeldDetector())
    process.start()
    job_id = submit_job(engine, ["file:///nothing", "file:///nowhere"], submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)

    wire.break_at(commit, heard=heard)
    process.scan_chunk(chunk)

    assert wire.broken == 1
    assert read_job(engine, job_id).state == "done"
    assert next(audit_jobs(engine, [job_id])).exact
    with engine.connect() as connection:
        assert connection.execute(text("SELECT losses FROM chunks")).scalar_one() == 0
    process.stop()


@pytest.mark.parametrize("heard", [False, True])
def test_a_submission_whose_commit_is_cut_fails_and_may_be_made_again_under_its_key(
    engine: Engine, wire: Wire, wired: Engine, heard: bool
) -> None:
    wire.break_at(0, heard=heard)
    with pytest.raises(OperationalError):
        submit_job(wired, ["file:///a"], JobOptions(idempotency_key="k"), submitter="ann")
    assert wire.broken == 1

    again = submit_job(wired, ["file:///a"], JobOptions(idempotency_key="k"), submitter="ann")

    assert [job.id for job in list_jobs(engine)] == [again.job_id]
    assert again.created is not heard
