"""Lone images: submitted, dispatched, scanned and stored together, each with its own outcome."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import redis
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine, text

from producer.api.first_verdicts import FirstVerdicts
from producer.api.lone_images import LoneImages
from producer.api.reader import Reader
from producer.api.service import Service
from producer.dispatching.dispatcher import Dispatcher
from producer.dispatching.lone_messages import LonePublisher
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import Outcome, Priority
from storage.audits import audit_jobs
from storage.blobs import Blobs
from storage.broker import QUEUES
from storage.dispatch import (
    DispatchedChunk,
    count_expected_messages,
    group_by_message,
    pick_chunks,
    recover_lost_chunk,
)
from storage.jobs import cancel_job
from storage.lone_chunks import claim_lone_chunks, finish_lone_chunks, take_lone_chunks
from storage.lone_uploads import DispatchLimits, LoneImage, submit_lone_images
from storage.pauses import pause_chunks
from storage.settings import Settings
from storage.storage_limits import StorageFullError, StorageLimits, StoredBytesError
from storage.totals import Total, read_totals
from storage.waiting import TooManyWaitingError, WaitingLimits
from storage.workers import report_worker
from tests.kit.detectors import HeldDetector
from tests.kit.pictures import encode_pattern
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
from tests.kit.threads import PATIENCE_S
from worker.chunks import NOTHING_TO_DO
from worker.process import WorkerProcess
from worker.task_messages import keep_task
from worker.task_shape import Task

NO_LIMITS = StorageLimits(None, 0)
ROOM = WaitingLimits(1000, 1000)
TABLES = ("jobs", "uploads", "blobs")
PICTURE = encode_pattern("PNG")


@pytest.fixture
def blobs(configured: Settings) -> Blobs:
    return Blobs(configured.blobs())


@pytest.fixture
def process(engine: Engine, configured: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(engine, configured, name="cpu0@here", device="cpu0", detector=HeldDetector())
    process.start()
    yield process
    process.stop()


def submit(engine: Engine, blobs: Blobs, *images: bytes, submitter: str = "ann") -> list[uuid.UUID]:
    """Submit each of these images as its own job; return the ids of the jobs."""
    listed = [LoneImage(submitter, f"{number}.png", data, None) for number, data in enumerate(images)]
    return submit_lone_images(engine, blobs, listed, NO_LIMITS, ROOM)[0]


def dispatch(engine: Engine, workers: int = 1) -> list[list[DispatchedChunk]]:
    """Dispatch all waiting chunks; return the chunks of each message."""
    return group_by_message(pick_chunks(engine, Priority.INTERACTIVE, 100, workers))


def list_ids(chunks: Sequence[DispatchedChunk]) -> list[uuid.UUID]:
    return [chunk.chunk_id for chunk in chunks]


def test_lone_images_of_many_jobs_are_scanned_in_one_go(engine: Engine, blobs: Blobs, process: WorkerProcess) -> None:
    jobs = submit(engine, blobs, PICTURE, b"none", PICTURE)
    (message,) = dispatch(engine)

    assert process.scan_lone_chunks(list_ids(message)) == "3 images: 1 error"
    assert process.scan_lone_chunks(list_ids(message)) == "; ".join([NOTHING_TO_DO] * 3)

    ended = [read_job(engine, job_id) for job_id in jobs]
    assert [(job.state, job.clean, job.error, job.total) for job in ended] == [
        ("done", 1, 0, 1), ("done", 0, 1, 1), ("done", 1, 0, 1),
    ]  # fmt: skip
    assert all(audit.exact for audit in audit_jobs(engine, jobs))
    assert {require_provenance(engine, job_id, 0).worker for job_id in jobs} == {"cpu0@here"}


def test_lone_images_are_divided_among_workers_and_submitters(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, *[b"%d" % number for number in range(5)])
    submit(engine, blobs, b"other", submitter="ben")
    submit_job_of(engine, 1, priority=Priority.INTERACTIVE)

    messages = dispatch(engine, workers=2)

    assert sorted(len(message) for message in messages) == [1, 1, 2, 3]
    assert count_expected_messages(engine) == 4


def test_no_message_is_longer_than_workers_read(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, *[b"%d" % number for number in range(40)])

    assert sorted(len(message) for message in dispatch(engine)) == [8, 16, 16]


def test_lone_chunks_whose_message_is_lost_go_alone(
    engine: Engine, blobs: Blobs, configured: Settings, redis_url: str
) -> None:
    submit(engine, blobs, b"a", b"b")
    published: list[Sequence[DispatchedChunk]] = []
    with redis.Redis.from_url(redis_url) as broker:
        dispatcher = Dispatcher(engine, broker, configured, published.append)
        dispatcher.do_round()
        assert [len(message) for message in published] == [2]

        execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '1 minute'")
        dispatcher.do_round()

    assert [len(message) for message in published[1:]] == [1, 1]
    assert count_expected_messages(engine) == 2


def test_what_is_not_lone_or_was_lost_before_is_scanned_by_itself(
    engine: Engine, blobs: Blobs, process: WorkerProcess
) -> None:
    submit(engine, blobs, PICTURE, PICTURE)
    ((first, second),) = dispatch(engine)
    submit_job_of(engine, 2, chunk_size=1, priority=Priority.INTERACTIVE)
    ((other,), _) = dispatch(engine)
    execute(engine, f"UPDATE chunks SET losses = 1 WHERE id = '{second.chunk_id}'")

    told = process.scan_lone_chunks(list_ids([first, second, other]))

    assert told == "1 image: all clean; 1 image: all clean; 1 image: 1 error"


def test_of_four_claimants_each_chunk_goes_to_one(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, *[b"%d" % number for number in range(16)])
    ids = [chunk for message in dispatch(engine) for chunk in list_ids(message)]

    with ThreadPoolExecutor(4) as pool:
        claim = partial(claim_lone_chunks, engine, ids, lease_s=LEASE_S)
        claimed = [each.chunk_id for claims in pool.map(claim, ["w0 a", "w1 b", "w2 c", "w3 d"]) for each in claims]

    assert sorted(claimed) == sorted(ids)


def test_who_claims_again_after_a_lost_answer_gets_the_same_chunks(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, b"a", b"b")
    (message,) = dispatch(engine)
    first = claim_lone_chunks(engine, list_ids(message), "cpu0@here 1", LEASE_S)

    again = claim_lone_chunks(engine, list_ids(message), "cpu0@here 1", LEASE_S)

    assert {claim.chunk_id for claim in again} == {claim.chunk_id for claim in first} == set(list_ids(message))
    assert claim_lone_chunks(engine, list_ids(message), "cpu1@here 2", LEASE_S) == []


def test_verdicts_whose_claim_does_not_hold_are_not_stored_and_the_others_are(engine: Engine, blobs: Blobs) -> None:
    cancelled, lost, kept = submit(engine, blobs, b"a", b"b", b"c")
    (message,) = dispatch(engine)
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
    jobs = submit(engine, blobs, PICTURE, PICTURE)
    (message,) = dispatch(engine)
    claim_lone_chunks(engine, list_ids(message), "cpu9@gone 1", LEASE_S)
    expire_leases(engine)
    while recover_lost_chunk(engine, 3, 0.0):
        pass

    messages = dispatch(engine)

    assert [len(each) for each in messages] == [1, 1]
    assert [process.scan_chunk(chunk.chunk_id) for (chunk,) in messages] == ["1 image: all clean"] * 2
    assert all(audit.exact for audit in audit_jobs(engine, jobs))


@pytest.mark.parametrize(
    ("limits", "room", "refusal"),
    [
        (StorageLimits(5, 0), ROOM, StoredBytesError),
        (StorageLimits(None, 2**62), ROOM, StorageFullError),
        (NO_LIMITS, WaitingLimits(1, 1000), TooManyWaitingError),
    ],
)
def test_nothing_is_left_of_images_for_which_there_is_no_room(
    engine: Engine, blobs: Blobs, limits: StorageLimits, room: WaitingLimits, refusal: type[Exception]
) -> None:
    images = [LoneImage("ann", "a.png", b"four", None), LoneImage("ann", "b.png", b"and5", None)]

    with pytest.raises(refusal):
        submit_lone_images(engine, blobs, images, limits, room)

    with engine.connect() as connection:
        left = [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in TABLES]
    assert left == [0, 0, 0]


def test_an_image_that_is_refused_takes_no_other_with_it(engine: Engine, blobs: Blobs, configured: Settings) -> None:
    settings = configured.model_copy(update={"max_stored_bytes_per_key": 10})
    service = Service(engine, blobs, settings, SlidingWindowCounterRateLimiter(MemoryStorage()))
    large, small = LoneImage("ann", "a.png", b"x" * 11, None), LoneImage("ben", "b.png", b"small", None)

    async def submit_both() -> tuple[uuid.UUID | BaseException, ...]:
        taking_in = LoneImages(service)
        return await asyncio.gather(taking_in.submit(large), taking_in.submit(small), return_exceptions=True)

    refused, taken = asyncio.run(submit_both())

    assert isinstance(refused, StoredBytesError)
    assert isinstance(taken, uuid.UUID)
    assert read_job(engine, taken).submitter == "ben"


def test_a_verdict_that_comes_before_anybody_waits_is_found(
    engine: Engine, blobs: Blobs, process: WorkerProcess
) -> None:
    (job_id,) = submit(engine, blobs, PICTURE)
    (message,) = dispatch(engine)
    process.scan_lone_chunks(list_ids(message))

    async def hear_and_wait() -> Outcome | None:
        verdicts = FirstVerdicts(Reader(engine))
        verdicts.look_for([job_id])
        verdict = await verdicts.wait_for(job_id, PATIENCE_S)
        return verdict.outcome if verdict else None

    assert asyncio.run(hear_and_wait()) == Outcome.CLEAN


def test_lone_images_wait_while_some_of_their_submitter_are_in_work_and_are_then_scanned_along(
    engine: Engine, blobs: Blobs, process: WorkerProcess
) -> None:
    submit(engine, blobs, PICTURE)
    (message,) = dispatch(engine)
    waiting = submit(engine, blobs, PICTURE, PICTURE, PICTURE)
    submit(engine, blobs, PICTURE, submitter="ben")

    assert [len(message) for message in dispatch(engine)] == [1]
    told = process.scan_lone_chunks(list_ids(message))

    assert told == "1 image: all clean; of those that waited, 3 images: all clean"
    assert all(audit.exact for audit in audit_jobs(engine, waiting))
    assert dispatch(engine) == []
    with engine.connect() as connection:
        totals = read_totals(connection)
    assert totals.get(Total.CHUNKS_DISPATCHED, Priority.INTERACTIVE) == 5
    assert totals.get(Total.CHUNKS_CLAIMED) == 4


def test_what_a_worker_takes_along_is_of_one_submitter_who_has_fewest_in_work(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, PICTURE)
    ((first,),) = dispatch(engine)
    claim_lone_chunks(engine, [first.chunk_id], "cpu0@here 1", LEASE_S)
    of_ann = submit(engine, blobs, *[b"%d" % number for number in range(20)])
    of_ben = submit(engine, blobs, PICTURE, PICTURE, submitter="ben")

    taken = [take_lone_chunks(engine, first.chunk_id, f"cpu0@here {number}", LEASE_S) for number in range(2, 6)]

    assert [claim.job_id for claim in taken[0]] == of_ben
    assert [{claim.submitter for claim in claims} for claims in taken[1:]] == [{"ann"}, {"ann"}, set()]
    assert sorted(claim.job_id for claims in taken[1:] for claim in claims) == of_ann
    assert count_expected_messages(engine) == 1


def test_who_takes_again_after_a_lost_answer_gets_the_same_chunks(engine: Engine, blobs: Blobs) -> None:
    jobs = submit(engine, blobs, b"a", b"b")
    message_id = uuid.uuid4()

    first = take_lone_chunks(engine, message_id, "cpu0@here 1", LEASE_S)
    again = take_lone_chunks(engine, message_id, "cpu0@here 1", LEASE_S)

    assert [claim.job_id for claim in again] == [claim.job_id for claim in first] == jobs
    assert {claim.attempt for claim in again} == {2}
    assert take_lone_chunks(engine, message_id, "cpu1@here 1", LEASE_S) == []


def test_what_is_paused_or_lost_before_is_not_taken_along(engine: Engine, blobs: Blobs) -> None:
    paused, lost, _ = submit(engine, blobs, b"a", b"b", b"c")
    pause_chunks(engine, PauseSubject(job_id=paused), "olga")
    execute(engine, f"UPDATE chunks SET losses = 1 WHERE job_id = '{lost}'")

    (claim,) = take_lone_chunks(engine, uuid.uuid4(), "cpu0@here 1", LEASE_S)

    assert claim.job_id not in (paused, lost)
    report_worker(engine, "cpu1@here", "cpu1", register_v4(engine))
    execute(engine, "UPDATE workers SET draining = true")
    submit(engine, blobs, b"d")
    assert take_lone_chunks(engine, uuid.uuid4(), "cpu1@here 1", LEASE_S) == []


def test_who_submits_dispatches_what_may_go_at_once_and_leaves_the_rest(engine: Engine, blobs: Blobs) -> None:
    def submit_at_once(*images: LoneImage) -> list[DispatchedChunk]:
        return submit_lone_images(engine, blobs, images, NO_LIMITS, ROOM, DispatchLimits(4, LEASE_S))[1]

    ann, ben = LoneImage("ann", "a.png", PICTURE, None), LoneImage("ben", "b.png", PICTURE, None)
    traced = replace(ben, traceparent=f"00-{'1' * 32}-{'2' * 16}-01")

    went = submit_at_once(ann, ann, ben, traced)
    assert sorted(len(message) for message in group_by_message(went)) == [1, 2]
    assert submit_at_once(ann) == []
    # The window is too small for two more chunks.
    assert submit_at_once(replace(ann, submitter="cleo"), replace(ann, submitter="dora")) == []

    assert sorted(len(message) for message in dispatch(engine)) == [1, 1, 1]
    execute(engine, "UPDATE chunks SET state = 'done'")
    pause_chunks(engine, PauseSubject(submitter="ben"), "olga")
    assert len(submit_at_once(ann, ben)) == 1
    assert count_expected_messages(engine) == 1


def test_what_is_published_at_once_is_a_message_that_workers_read(
    engine: Engine, blobs: Blobs, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = LoneImage("ann", "a.png", PICTURE, None)
    _, went = submit_lone_images(engine, blobs, [image, image], NO_LIMITS, ROOM, DispatchLimits(4, LEASE_S))

    with redis.Redis.from_url(redis_url) as broker:
        LonePublisher(redis_url).publish(went)
        (message,) = broker.lrange(QUEUES[0], 0, -1)
        broker.delete(QUEUES[0])
        read = keep_task([QUEUES[0].encode(), message])

    assert read is not None
    task = Task.model_validate_json(read[1])
    assert list(task.body[0]) == list_ids(went)
    assert task.headers.argsrepr.endswith("1 image, and 1 more like it")
    LonePublisher("redis://127.0.0.1:1/0").publish(went)
    assert "a dispatcher publishes them later" in caplog.text


def test_a_worker_that_died_with_lone_images_holds_none_back_for_long(engine: Engine, blobs: Blobs) -> None:
    submit(engine, blobs, PICTURE)
    (message,) = dispatch(engine)
    claim_lone_chunks(engine, list_ids(message), "cpu9@gone 1", LEASE_S)
    submit(engine, blobs, PICTURE)
    assert dispatch(engine) == []

    execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '2 s'")

    assert [len(message) for message in dispatch(engine)] == [1]
