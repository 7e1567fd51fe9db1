"""Lone images on their way in: taken in together, dispatched at once, and waited for."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine, text

from producer.api.first_verdicts import FirstVerdicts
from producer.api.lone_images import LoneImages
from producer.api.reader import Reader
from producer.api.service import Service
from producer.dispatching.lone_messages import LonePublisher
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import Outcome
from storage.blobs import Blobs
from storage.broker import QUEUES
from storage.dispatch import LONE_BYTES, DispatchedChunk, count_expected_messages, group_by_message
from storage.lone_uploads import DispatchLimits, LoneImage, submit_lone_images
from storage.pauses import pause_chunks
from storage.settings import Settings
from storage.storage_limits import StorageFullError, StorageLimits, StoredBytesError
from storage.waiting import TooManyWaitingError, WaitingLimits
from tests.kit.lone_images import NO_LIMITS, PICTURE, ROOM, dispatch_all, list_ids, submit_lone
from tests.kit.rows import (
    LEASE_S,
    execute,
    read_job,
)
from tests.kit.threads import PATIENCE_S
from tests.kit.worker_process import run_worker_process
from worker.process import WorkerProcess
from worker.redis_messages import keep_task
from worker.task_shape import Task

TABLES = ("jobs", "uploads", "blobs")


@pytest.fixture
def process(engine: Engine, configured: Settings) -> Iterator[WorkerProcess]:
    with run_worker_process(engine, configured) as process:
        yield process


@pytest.fixture
def blobs(configured: Settings) -> Blobs:
    return Blobs(configured.blobs())


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
    (job_id,) = submit_lone(engine, blobs, PICTURE)
    (message,) = dispatch_all(engine)
    process.scan_lone_chunks(list_ids(message))

    async def hear_and_wait() -> Outcome | None:
        verdicts = FirstVerdicts(Reader(engine))
        verdicts.look_for([job_id])
        verdict = await verdicts.wait_for(job_id, PATIENCE_S)
        return verdict.outcome if verdict else None

    assert asyncio.run(hear_and_wait()) == Outcome.CLEAN


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

    assert sorted(len(message) for message in dispatch_all(engine)) == [1, 1, 1]
    execute(engine, "UPDATE chunks SET state = 'done'")
    pause_chunks(engine, PauseSubject(submitter="ben"), "olga")
    assert len(submit_at_once(ann, ben)) == 1
    assert count_expected_messages(engine) == 1


def test_large_images_do_not_share_a_message(engine: Engine, blobs: Blobs) -> None:
    large, small = bytes(LONE_BYTES), bytes(LONE_BYTES // 4)
    images = [LoneImage("ann", "a.bin", data, None) for data in (large, small, small, small, large, b"tiny")]

    _, went = submit_lone_images(engine, blobs, images, NO_LIMITS, ROOM, DispatchLimits(100, LEASE_S))

    assert [len(message) for message in group_by_message(went)] == [1, 3, 2]


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
