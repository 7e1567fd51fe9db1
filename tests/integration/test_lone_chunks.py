"""Lone chunks: dispatched, claimed, scanned and stored together, each with its own outcome."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import redis
from sqlalchemy import Engine

from producer.dispatching.dispatcher import Dispatcher
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import Outcome, Priority
from storage.audits import audit_jobs
from storage.blobs import Blobs
from storage.dispatch import DispatchedChunk, count_expected_messages, recover_lost_chunk
from storage.jobs import cancel_job
from storage.lone_chunks import claim_lone_chunks, finish_lone_chunks, take_lone_chunks
from storage.message_counts import RedisCounter
from storage.pauses import pause_chunks
from storage.settings import Settings
from storage.totals import Total, read_totals
from storage.workers import report_worker
from tests.kit.lone_images import PICTURE, dispatch_all, list_ids, submit_lone
from tests.kit.rows import (
    LEASE_S,
    execute,
    expire_leases,
    make_verdicts,
    read_job,
    register_v4,
    require_provenance,
    submit_job_of,
)
from tests.kit.worker_process import run_worker_process
from worker.chunks import NOTHING_TO_DO
from worker.process import WorkerProcess


@pytest.fixture
def blobs(configured: Settings) -> Blobs:
    return Blobs(configured.blobs())


@pytest.fixture
def process(engine: Engine, configured: Settings) -> Iterator[WorkerProcess]:
    with run_worker_process(engine, configured) as process:
        yield process


def test_lone_images_of_many_jobs_are_scanned_in_one_go(engine: Engine, blobs: Blobs, process: WorkerProcess) -> None:
    jobs = submit_lone(engine, blobs, PICTURE, b"none", PICTURE)
    (message,) = dispatch_all(engine)

    assert process.scan_lone_chunks(list_ids(message)) == "3 images: 1 error"
    assert process.scan_lone_chunks(list_ids(message)) == "; ".join([NOTHING_TO_DO] * 3)

    ended = [read_job(engine, job_id) for job_id in jobs]
    assert [(job.state, job.clean, job.error, job.total) for job in ended] == [
        ("done", 1, 0, 1), ("done", 0, 1, 1), ("done", 1, 0, 1),
    ]  # fmt: skip
    assert all(audit.exact for audit in audit_jobs(engine, jobs))
    assert {require_provenance(engine, job_id, 0).worker for job_id in jobs} == {"cpu0@here"}


def test_lone_images_of_a_submitter_share_a_message(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, *[b"%d" % number for number in range(5)])
    submit_lone(engine, blobs, b"other", submitter="ben")
    submit_job_of(engine, 1, priority=Priority.INTERACTIVE)

    messages = dispatch_all(engine, workers=2)

    assert sorted(len(message) for message in messages) == [1, 1, 5]
    assert count_expected_messages(engine) == 3


def test_no_message_is_longer_than_workers_read(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, *[b"%d" % number for number in range(40)])

    assert sorted(len(message) for message in dispatch_all(engine)) == [8, 16, 16]


def test_lone_chunks_whose_message_is_lost_go_alone(
    engine: Engine, blobs: Blobs, configured: Settings, redis_url: str
) -> None:
    submit_lone(engine, blobs, b"a", b"b")
    published: list[Sequence[DispatchedChunk]] = []
    with redis.Redis.from_url(redis_url) as broker:
        dispatcher = Dispatcher(engine, RedisCounter(broker), configured, published.append)
        dispatcher.do_round()
        assert [len(message) for message in published] == [2]

        execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '1 minute'")
        dispatcher.do_round()

    assert [len(message) for message in published[1:]] == [1, 1]
    assert count_expected_messages(engine) == 2


def test_what_is_not_lone_or_was_lost_before_is_scanned_by_itself(
    engine: Engine, blobs: Blobs, process: WorkerProcess
) -> None:
    submit_lone(engine, blobs, PICTURE, PICTURE)
    ((first, second),) = dispatch_all(engine)
    submit_job_of(engine, 2, chunk_size=1, priority=Priority.INTERACTIVE)
    ((other,), _) = dispatch_all(engine)
    execute(engine, f"UPDATE chunks SET losses = 1 WHERE id = '{second.chunk_id}'")

    told = process.scan_lone_chunks(list_ids([first, second, other]))

    assert told == "1 image: all clean; 1 image: all clean; 1 image: 1 error"


def test_of_four_claimants_each_chunk_goes_to_one(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, *[b"%d" % number for number in range(16)])
    ids = [chunk for message in dispatch_all(engine) for chunk in list_ids(message)]

    with ThreadPoolExecutor(4) as pool:
        claim = partial(claim_lone_chunks, engine, ids, lease_s=LEASE_S)
        claimed = [each.chunk_id for claims in pool.map(claim, ["w0 a", "w1 b", "w2 c", "w3 d"]) for each in claims]

    assert sorted(claimed) == sorted(ids)


def test_who_claims_again_after_a_lost_answer_gets_the_same_chunks(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, b"a", b"b")
    (message,) = dispatch_all(engine)
    first = claim_lone_chunks(engine, list_ids(message), "cpu0@here 1", LEASE_S)

    again = claim_lone_chunks(engine, list_ids(message), "cpu0@here 1", LEASE_S)

    assert {claim.chunk_id for claim in again} == {claim.chunk_id for claim in first} == set(list_ids(message))
    assert claim_lone_chunks(engine, list_ids(message), "cpu1@here 2", LEASE_S) == []


def test_verdicts_whose_claim_does_not_hold_are_not_stored_and_the_others_are(engine: Engine, blobs: Blobs) -> None:
    cancelled, lost, kept = submit_lone(engine, blobs, b"a", b"b", b"c")
    (message,) = dispatch_all(engine)
    claims = claim_lone_chunks(engine, list_ids(message), "cpu0@here 1", LEASE_S)
    cancel_job(engine, cancelled)
    execute(engine, f"UPDATE chunks SET attempt = attempt + 1 WHERE job_id = '{lost}'")
    verdicts = [verdict for claim in claims for verdict in make_verdicts(engine, claim, Outcome.STEGO)]

    assert finish_lone_chunks(engine, claims, verdicts) == (1, False)

    jobs = {job_id: read_job(engine, job_id) for job_id in (cancelled, lost, kept)}
    assert [(job.state, job.stego, job.error) for job in jobs.values()] == [
        ("cancelled", 0, 1), ("running", 0, 0), ("done", 1, 0),
    ]  # fmt: skip


def test_lone_chunks_whose_worker_died_come_back(engine: Engine, blobs: Blobs, process: WorkerProcess) -> None:
    jobs = submit_lone(engine, blobs, PICTURE, PICTURE)
    (message,) = dispatch_all(engine)
    claim_lone_chunks(engine, list_ids(message), "cpu9@gone 1", LEASE_S)
    expire_leases(engine)
    while recover_lost_chunk(engine, 3, 0.0):
        pass

    messages = dispatch_all(engine)

    assert [len(each) for each in messages] == [1, 1]
    assert [process.scan_chunk(chunk.chunk_id) for (chunk,) in messages] == ["1 image: all clean"] * 2
    assert all(audit.exact for audit in audit_jobs(engine, jobs))


def test_lone_images_wait_while_some_of_their_submitter_are_in_work_and_are_then_scanned_along(
    engine: Engine, blobs: Blobs, process: WorkerProcess
) -> None:
    submit_lone(engine, blobs, PICTURE)
    (message,) = dispatch_all(engine)
    waiting = submit_lone(engine, blobs, PICTURE, PICTURE, PICTURE)
    submit_lone(engine, blobs, PICTURE, submitter="ben")

    assert [len(message) for message in dispatch_all(engine)] == [1]
    told = process.scan_lone_chunks(list_ids(message))

    assert told == "1 image: all clean; of those that waited, 3 images: all clean"
    assert all(audit.exact for audit in audit_jobs(engine, waiting))
    assert dispatch_all(engine) == []
    with engine.connect() as connection:
        totals = read_totals(connection)
    assert totals.get(Total.CHUNKS_DISPATCHED, Priority.INTERACTIVE) == 5
    assert totals.get(Total.CHUNKS_CLAIMED) == 4


def test_what_a_worker_takes_along_is_of_one_submitter_who_has_fewest_in_work(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, PICTURE)
    ((first,),) = dispatch_all(engine)
    claim_lone_chunks(engine, [first.chunk_id], "cpu0@here 1", LEASE_S)
    of_ann = submit_lone(engine, blobs, *[b"%d" % number for number in range(20)])
    of_ben = submit_lone(engine, blobs, PICTURE, PICTURE, submitter="ben")

    taken = [take_lone_chunks(engine, first.chunk_id, f"cpu0@here {number}", LEASE_S) for number in range(2, 6)]

    assert [claim.job_id for claim in taken[0]] == of_ben
    assert [{claim.submitter for claim in claims} for claims in taken[1:]] == [{"ann"}, {"ann"}, set()]
    assert sorted(claim.job_id for claims in taken[1:] for claim in claims) == of_ann
    assert count_expected_messages(engine) == 1


def test_who_takes_again_after_a_lost_answer_gets_the_same_chunks(engine: Engine, blobs: Blobs) -> None:
    jobs = submit_lone(engine, blobs, b"a", b"b")
    message_id = uuid.uuid4()

    first = take_lone_chunks(engine, message_id, "cpu0@here 1", LEASE_S)
    again = take_lone_chunks(engine, message_id, "cpu0@here 1", LEASE_S)

    assert [claim.job_id for claim in again] == [claim.job_id for claim in first] == jobs
    assert {claim.attempt for claim in again} == {2}
    assert take_lone_chunks(engine, message_id, "cpu1@here 1", LEASE_S) == []


def test_what_is_paused_or_lost_before_is_not_taken_along(engine: Engine, blobs: Blobs) -> None:
    paused, lost, _ = submit_lone(engine, blobs, b"a", b"b", b"c")
    pause_chunks(engine, PauseSubject(job_id=paused), "olga")
    execute(engine, f"UPDATE chunks SET losses = 1 WHERE job_id = '{lost}'")

    (claim,) = take_lone_chunks(engine, uuid.uuid4(), "cpu0@here 1", LEASE_S)

    assert claim.job_id not in (paused, lost)
    report_worker(engine, "cpu1@here", "cpu1", register_v4(engine))
    execute(engine, "UPDATE workers SET draining = true")
    submit_lone(engine, blobs, b"d")
    assert take_lone_chunks(engine, uuid.uuid4(), "cpu1@here 1", LEASE_S) == []


def test_a_worker_that_died_with_lone_images_holds_none_back_for_long(engine: Engine, blobs: Blobs) -> None:
    submit_lone(engine, blobs, PICTURE)
    (message,) = dispatch_all(engine)
    claim_lone_chunks(engine, list_ids(message), "cpu9@gone 1", LEASE_S)
    submit_lone(engine, blobs, PICTURE)
    assert dispatch_all(engine) == []

    execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '2 s'")

    assert [len(message) for message in dispatch_all(engine)] == [1]
