"""Jobs: submitted whole or not at all, cancelled with every image accounted for, audited from the rows."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome
from storage.audits import Audit, audit_jobs
from storage.chunks import finish_chunk
from storage.jobs import cancel_job, list_jobs
from storage.submission import EmptyJobError, submit_job
from tests.kit.rows import claim_waiting_chunks, execute, make_verdicts, read_job, submit_job_of


def audit(engine: Engine, job_id: uuid.UUID) -> Audit:
    return next(audit_jobs(engine, [job_id]))


def test_a_job_is_stored_in_chunks_that_keep_the_order(engine: Engine) -> None:
    submission = submit_job(engine, (f"file:///{n}" for n in range(10)), submitter="ann", chunk_size=4)

    assert (submission.total, submission.created) == (10, True)
    claims = claim_waiting_chunks(engine)
    assert [(claim.first_ordinal, len(claim.refs)) for claim in claims] == [(0, 4), (4, 4), (8, 2)]
    assert [uri for claim in claims for uri in claim.refs] == [f"file:///{n}" for n in range(10)]


def test_the_same_idempotency_key_gives_the_same_job_and_reads_nothing(engine: Engine) -> None:
    first = submit_job(engine, ["file:///a"], JobOptions(idempotency_key="k"), submitter="ann")

    def unread() -> Iterator[str]:
        raise AssertionError("read")
        yield ""

    again = submit_job(engine, unread(), JobOptions(idempotency_key="k"), submitter="ann")
    other = submit_job(engine, ["file:///a"], JobOptions(idempotency_key="k"), submitter="bob")

    assert (again.job_id, again.total, again.created) == (first.job_id, 1, False)
    assert other.job_id != first.job_id


def test_one_key_from_many_threads_makes_one_job(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        submissions = list(
            pool.map(
                lambda _: submit_job(engine, ["file:///a"], JobOptions(idempotency_key="k"), submitter="ann"), range(8)
            )
        )

    assert len({submission.job_id for submission in submissions}) == 1
    assert sum(submission.created for submission in submissions) == 1
    assert len(list_jobs(engine)) == 1


def test_a_source_that_fails_leaves_nothing(engine: Engine) -> None:
    def failing() -> Iterator[str]:
        yield from (f"file:///{n}" for n in range(1000))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        submit_job(engine, failing(), JobOptions(idempotency_key="k"), submitter="ann")

    assert list_jobs(engine) == []
    assert submit_job(engine, ["file:///a"], JobOptions(idempotency_key="k"), submitter="ann").created


def test_a_job_without_images_is_refused(engine: Engine) -> None:
    with pytest.raises(EmptyJobError):
        submit_job(engine, [], submitter="ann")

    assert list_jobs(engine) == []


def test_a_job_goes_from_pending_through_running_to_done(engine: Engine) -> None:
    job_id = submit_job_of(engine, 6)
    assert read_job(engine, job_id).state == "pending"

    first, second = claim_waiting_chunks(engine)
    assert read_job(engine, job_id).state == "running"

    assert finish_chunk(engine, first, make_verdicts(engine, first, Outcome.STEGO))
    assert read_job(engine, job_id).state == "running"
    assert finish_chunk(engine, second, make_verdicts(engine, second, Outcome.ERROR))

    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.stego, job.error, job.ended) == ("done", 0, 4, 2, True)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


def test_cancelling_gives_every_image_left_its_verdict(engine: Engine) -> None:
    job_id = submit_job_of(engine, 12)
    finished, running, _ = claim_waiting_chunks(engine)
    finish_chunk(engine, finished, make_verdicts(engine, finished))

    assert cancel_job(engine, job_id) == 8

    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.error) == ("cancelled", 4, 8)
    assert not finish_chunk(engine, running, make_verdicts(engine, running))
    assert audit(engine, job_id).exact
    assert cancel_job(engine, job_id) == 0
    assert cancel_job(engine, uuid.uuid4()) is None


def test_cancelling_an_ended_job_changes_nothing(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim))
    before = read_job(engine, job_id)

    assert cancel_job(engine, job_id) == 0

    assert read_job(engine, job_id) == before


@pytest.mark.parametrize(
    ("damage", "missing", "double", "counters_agree"),
    [
        ("DELETE FROM verdicts WHERE ordinal = 2", 1, 0, False),
        ("UPDATE verdicts SET ordinal = 7 WHERE ordinal = 2", 1, 1, True),
        ("UPDATE verdicts SET uri = 'file:///other' WHERE ordinal = 2", 1, 1, True),
        ("UPDATE chunks SET refs = refs[1:3]", 0, 1, False),
        ("UPDATE jobs SET clean = 3, stego = 1", 0, 0, False),
    ],
)
def test_the_audit_sees_rows_that_were_tampered_with(
    engine: Engine, damage: str, missing: int, double: int, counters_agree: bool
) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim))
    assert audit(engine, job_id).exact

    execute(engine, damage)

    audited = audit(engine, job_id)
    assert not audited.exact
    assert (audited.missing, audited.double, audited.counters_agree) == (missing, double, counters_agree)


def test_an_unfinished_job_is_missing_verdicts(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)

    audited = audit(engine, job_id)

    assert (audited.references, audited.verdicts, audited.missing, audited.exact) == (4, 0, 4, False)
