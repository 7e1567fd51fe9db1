"""The dispatcher: bounded, fair, and able to recover what Redis has lost."""

import uuid
from collections import Counter
from collections.abc import Sequence

import pytest
import redis
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Engine, text

from producer.dispatching.dispatcher import Dispatcher, Publish
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.broker import count_messages, name_queue
from storage.chunks import claim_chunk, finish_chunk
from storage.dispatch import DispatchedChunk
from storage.message_counts import RedisCounter
from storage.settings import Settings
from storage.workers import report_worker
from tests.kit.rows import (
    LEASE_S,
    claim_waiting_chunks,
    execute,
    expire_leases,
    make_verdicts,
    pick_ids,
    read_job,
    register_v4,
    submit_job_of,
)

WINDOW = 4


@pytest.fixture
def broker(redis_url: str) -> "redis.Redis":
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def dispatcher(engine: Engine, broker: "redis.Redis", configured: Settings) -> Dispatcher:
    """A dispatcher that publishes bare ids, which count like Celery's messages."""
    return Dispatcher(
        engine, RedisCounter(broker), configured.model_copy(update={"dispatch_window": WINDOW}), pushing_to(broker)
    )


def pushing_to(broker: "redis.Redis") -> Publish:
    def push(chunks: Sequence[DispatchedChunk]) -> None:
        (chunk,) = chunks
        broker.lpush(name_queue(chunk.priority), str(chunk.chunk_id))

    return push


def waiting(broker: "redis.Redis", priority: Priority = Priority.BULK) -> list[uuid.UUID]:
    """Return the chunk ids in the queue, oldest first."""
    return [read_id(each) for each in reversed(broker.lrange(name_queue(priority), 0, -1))]


def read_id(message: object) -> uuid.UUID:
    assert isinstance(message, bytes)
    return uuid.UUID(message.decode())


def finish_next(engine: Engine, broker: "redis.Redis", priority: Priority = Priority.BULK) -> str:
    """Take the oldest message, claim and finish its chunk; return the first reference."""
    claim = claim_chunk(engine, read_id(broker.rpop(name_queue(priority))), "cpu0", LEASE_S)
    assert claim is not None
    finish_chunk(engine, claim, make_verdicts(engine, claim))
    return claim.refs[0]


def test_redis_holds_no_more_than_the_window_however_much_waits(
    engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher
) -> None:
    submit_job_of(engine, 400)

    for _ in range(3):
        dispatcher.do_round()

    assert count_messages(broker) == {"scan.interactive": 0, "scan.bulk": WINDOW, "unacked": 0}


def test_the_window_grows_with_the_live_workers(engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher) -> None:
    submit_job_of(engine, 400)
    for name in ("gpu0@a", "gpu1@a", "gone@a"):
        report_worker(engine, name, name.split("@", maxsplit=1)[0], register_v4(engine))
    execute(engine, "UPDATE workers SET seen_at = now() - interval '1 hour' WHERE name = 'gone@a'")

    dispatcher.do_round()

    assert len(waiting(broker)) == 2 * WINDOW


def test_what_is_finished_makes_room_until_the_job_is_done(
    engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher
) -> None:
    job_id = submit_job_of(engine, 50)

    dispatcher.do_round()
    while broker.llen(name_queue(Priority.BULK)):
        finish_next(engine, broker)
        dispatcher.do_round()

    assert read_job(engine, job_id).state == "done"
    assert next(audit_jobs(engine, [job_id])).exact


def test_two_submitters_get_equal_shares_although_one_came_first_with_far_more(
    engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher
) -> None:
    first = submit_job_of(engine, 400, submitter="ann")
    second = submit_job_of(engine, 40, submitter="bob")

    dispatcher.do_round()
    for _ in range(20):
        finish_next(engine, broker)
        dispatcher.do_round()

    assert read_job(engine, second).finished == 40
    assert read_job(engine, first).finished == 40


def test_older_jobs_of_one_submitter_go_first(engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher) -> None:
    older, newer = submit_job_of(engine, 12), submit_job_of(engine, 12)

    dispatcher.do_round()

    with engine.connect() as connection:
        owners = [
            connection.execute(text("SELECT job_id FROM chunks WHERE id = :id"), {"id": chunk}).scalar_one()
            for chunk in waiting(broker)
        ]
    assert owners == [older] * 3 + [newer]


def test_interactive_chunks_have_a_window_of_their_own(
    engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher
) -> None:
    submit_job_of(engine, 400)
    dispatcher.do_round()
    submit_job_of(engine, 4, priority=Priority.INTERACTIVE)

    dispatcher.do_round()

    assert (len(waiting(broker)), len(waiting(broker, Priority.INTERACTIVE))) == (WINDOW, 1)


def test_an_emptied_redis_is_filled_again(engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher) -> None:
    submit_job_of(engine, 400)
    dispatcher.do_round()
    before = waiting(broker)
    broker.flushall()
    dispatcher.do_round()
    assert waiting(broker) == []

    execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '6 seconds'")
    dispatcher.do_round()

    assert Counter(waiting(broker)) == Counter(before)


def test_messages_that_wait_long_for_busy_workers_are_not_doubled(
    engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher
) -> None:
    submit_job_of(engine, 400)
    dispatcher.do_round()

    execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '5 minutes'")
    dispatcher.do_round()

    assert len(waiting(broker)) == WINDOW


def test_a_publish_that_fails_loses_nothing(engine: Engine, broker: "redis.Redis", configured: Settings) -> None:
    def refuse(_chunks: Sequence[DispatchedChunk]) -> None:
        raise BrokerError("out of memory")

    submit_job_of(engine, 8)
    with pytest.raises(BrokerError):
        Dispatcher(engine, RedisCounter(broker), configured, refuse).do_round()

    execute(engine, "UPDATE chunks SET dispatched_at = dispatched_at - interval '6 seconds'")
    Dispatcher(engine, RedisCounter(broker), configured, pushing_to(broker)).do_round()

    assert len(waiting(broker)) == 2


def test_a_second_dispatcher_waits_for_the_first_to_pick(engine: Engine) -> None:
    submit_job_of(engine, 40)
    with engine.begin() as first:
        first.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x44495350})

        assert pick_ids(engine, Priority.BULK, WINDOW) == []

    assert len(pick_ids(engine, Priority.BULK, WINDOW)) == WINDOW


def test_lost_chunks_are_published_again_and_named_in_the_log(
    engine: Engine, broker: "redis.Redis", configured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    expire_leases(engine)

    short_lease = configured.model_copy(update={"lease_s": 0.001})
    Dispatcher(engine, RedisCounter(broker), short_lease, pushing_to(broker)).do_round()

    assert waiting(broker) == [claim.chunk_id]
    (told,) = (vars(record) for record in caplog.records if record.message.startswith("the lease of a chunk ran out"))
    assert (told["job"], told["chunk"], told["losses"]) == (job_id, claim.chunk_id, 1)


def test_who_comes_finds_some_of_the_window_free(engine: Engine, broker: "redis.Redis", dispatcher: Dispatcher) -> None:
    submit_job_of(engine, 400, submitter="mallory")
    dispatcher.do_round()

    submit_job_of(engine, 4, submitter="ann")
    dispatcher.do_round()

    assert len(waiting(broker)) == WINDOW + 1
