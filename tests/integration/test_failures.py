"""Failed images: found, counted, and scanned again as a new job."""

import uuid

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import ErrorCode, Outcome, Priority
from storage.audits import audit_jobs
from storage.chunks import finish_chunk
from storage.failures import RetryError, count_failures, list_recent_failures, list_retries, retry_job
from storage.jobs import cancel_job, list_jobs
from storage.new_verdict import NewVerdict
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.rows import claim_waiting_chunks, execute, make_verdicts, read_job, submit_job_of

# Error codes by ordinal, for the job below; the other images are clean.
FAILED = {1: ErrorCode.NOT_FOUND, 4: ErrorCode.UNAVAILABLE, 5: ErrorCode.NOT_FOUND, 9: ErrorCode.CORRUPT}


@pytest.fixture
def job_id(engine: Engine) -> uuid.UUID:
    """A job of ten images in chunks of four, four of them failed."""
    references = [f"file:///image-{number}" for number in range(10)]
    job_id = submit_job(
        engine, references, JobOptions(name="june", priority=Priority.INTERACTIVE), submitter="ann", chunk_size=4
    ).job_id
    execute(engine, "UPDATE jobs SET threshold = 0.75")
    for claim in claim_waiting_chunks(engine, priority=Priority.INTERACTIVE):
        verdicts = [
            NewVerdict(clean.ordinal, clean.uri, Outcome.ERROR, error_code=FAILED[clean.ordinal], error_detail="why")
            if clean.ordinal in FAILED
            else clean
            for clean in make_verdicts(engine, claim)
        ]
        assert finish_chunk(engine, claim, verdicts)
    return job_id


def test_failures_are_counted_by_code(engine: Engine, job_id: uuid.UUID) -> None:
    submit_job_of(engine, 3)
    (other,) = claim_waiting_chunks(engine)
    finish_chunk(engine, other, make_verdicts(engine, other, Outcome.ERROR))

    assert count_failures(engine, VerdictFilter()) == {"empty": 3, "not_found": 2, "corrupt": 1, "unavailable": 1}
    chosen = VerdictFilter(job_id=job_id, error_codes=(ErrorCode.CORRUPT, ErrorCode.EMPTY))
    assert count_failures(engine, chosen) == {"corrupt": 1}
    assert count_failures(engine, VerdictFilter(error_codes=(ErrorCode.CANCELLED,))) == {}


def test_recent_failures_are_seen_beside_newer_images_that_were_cancelled(engine: Engine, job_id: uuid.UUID) -> None:
    cancel_job(engine, submit_job_of(engine, 8))
    execute(engine, "UPDATE verdicts SET error_code = 'not_listed' WHERE error_code = 'unavailable'")

    found = list_recent_failures(engine, 1)

    assert {(each.code, each.images, each.jobs, each.ordinal) for each in found} == {
        (ErrorCode.NOT_FOUND, 1, 1, 5), (ErrorCode.NOT_LISTED, 1, 1, 4), (ErrorCode.CORRUPT, 1, 1, 9),
    }  # fmt: skip
    counts = {each.code: each.images for each in list_recent_failures(engine, 9)}
    assert counts == {ErrorCode.NOT_FOUND: 2, ErrorCode.NOT_LISTED: 1, ErrorCode.CORRUPT: 1}


def test_failures_are_found_by_code(engine: Engine, job_id: uuid.UUID) -> None:
    found = find_verdicts(engine, VerdictFilter(job_id=job_id, error_codes=(ErrorCode.NOT_FOUND, ErrorCode.CORRUPT)))

    assert [(verdict.ordinal, verdict.error_code) for verdict in found] == [
        (1, "not_found"), (5, "not_found"), (9, "corrupt"),
    ]  # fmt: skip


def test_a_retry_is_a_job_like_the_first_of_its_failed_images_in_order(engine: Engine, job_id: uuid.UUID) -> None:
    retry = retry_job(engine, job_id, chunk_size=3)

    job = read_job(engine, retry.job_id)
    assert (job.retry_of, job.total, job.state) == (job_id, 4, "pending")
    assert (job.name, job.submitter, job.priority) == ("june", "ann", "interactive")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT DISTINCT threshold FROM jobs")).scalar_one() == 0.75
    claims = claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
    assert [claim.images for claim in claims] == [
        [(0, "file:///image-1"), (1, "file:///image-4"), (2, "file:///image-5")], [(3, "file:///image-9")],
    ]  # fmt: skip
    for claim in claims:
        assert finish_chunk(engine, claim, make_verdicts(engine, claim))
    assert all(audit.exact for audit in audit_jobs(engine))
    assert read_job(engine, job_id).error == 4
    assert list_retries(engine, job_id) == [retry.job_id]


def test_a_retry_may_be_of_some_codes_and_have_a_name_of_its_own(engine: Engine, job_id: uuid.UUID) -> None:
    retry = retry_job(engine, job_id, codes=(ErrorCode.NOT_FOUND,), name="again")

    assert (retry.total, read_job(engine, retry.job_id).name) == (2, "again")


def test_cancelled_images_are_retried_only_when_asked_for(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    cancel_job(engine, job_id)

    with pytest.raises(RetryError, match="failed; images that were cancelled have the code `cancelled`"):
        retry_job(engine, job_id)

    assert retry_job(engine, job_id, codes=(ErrorCode.CANCELLED,)).total == 4


def test_a_job_that_has_not_ended_is_not_retried(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)
    first, _ = claim_waiting_chunks(engine)
    finish_chunk(engine, first, make_verdicts(engine, first, Outcome.ERROR))

    with pytest.raises(RetryError, match="has not ended yet"):
        retry_job(engine, job_id)


def test_what_cannot_be_retried_leaves_nothing(engine: Engine, job_id: uuid.UUID) -> None:
    with pytest.raises(RetryError, match="failed with truncated"):
        retry_job(engine, job_id, codes=(ErrorCode.TRUNCATED,))
    with pytest.raises(RetryError, match="there is no job"):
        retry_job(engine, uuid.uuid4())

    assert [job.id for job in list_jobs(engine)] == [job_id]
