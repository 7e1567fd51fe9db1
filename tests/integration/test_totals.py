"""Totals count the events of jobs, chunks and webhooks, so that none of these must be read."""

import math
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import ChunkState, ErrorCode, Method, Outcome, Priority
from storage.chunks import finish_chunk, release_chunks
from storage.dispatch import recover_lost_chunk, redate_unclaimed
from storage.figures import take_figures
from storage.jobs import cancel_job
from storage.new_verdict import NewVerdict
from storage.purging import EndedJobs, purge_jobs
from storage.submission import submit_job
from storage.totals import (
    IMAGE_SECONDS,
    PERIOD_S,
    SHARDS,
    Total,
    count_one,
    count_recent_images,
    count_verdicts,
    raise_totals,
    read_totals,
)
from storage.webhooks import claim_webhook, record_delivered, record_failed
from tests.kit.rows import (
    claim_waiting_chunks,
    execute,
    expire_leases,
    finish_waiting_chunks,
    make_verdicts,
    register_v4,
    submit_job_of,
)


def count(engine: Engine, total: Total, label: str = "") -> int:
    return take_figures(engine).totals.get(total, label)


def test_what_becomes_of_images_is_counted_by_outcome_error_method_and_reuse(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    model_id = register_v4(engine)
    outcomes = (Outcome.STEGO, Outcome.STEGO, Outcome.CLEAN)
    scored = [
        NewVerdict(
            ordinal, uri, outcome, b"\0" * 32, 0.5, Method.EXIF if outcome is Outcome.STEGO else None,
            model_id=model_id, reused=ordinal == 0,
        )
        for (ordinal, uri), outcome in zip(claim.images[:3], outcomes, strict=True)
    ]  # fmt: skip
    failed = NewVerdict(*claim.images[3], Outcome.ERROR, error_code=ErrorCode.EMPTY)

    assert finish_chunk(engine, claim, [*scored, failed])

    figures = take_figures(engine)
    assert figures.submitted == 4
    assert figures.outcomes == {Outcome.CLEAN: 1, Outcome.STEGO: 2, Outcome.ERROR: 1}
    assert figures.totals.by_label(Total.IMAGE_ERRORS, ErrorCode)["empty"] == 1
    assert figures.totals.by_label(Total.IMAGES_FOUND, ()) == {"exif": 2}
    assert figures.totals.get(Total.IMAGES_REUSED) == 1
    assert figures.finished_last_minute == 4


def test_a_verdict_that_is_stored_twice_counts_once(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    verdicts = make_verdicts(engine, claim)
    assert finish_chunk(engine, claim, verdicts[:1], put_off_s=0.0)
    (again,) = claim_waiting_chunks(engine)

    assert finish_chunk(engine, again, verdicts)
    assert not finish_chunk(engine, again, verdicts)

    assert take_figures(engine).outcomes[Outcome.CLEAN] == 4
    assert count(engine, Total.CHUNKS_PUT_OFF) == 1
    assert count(engine, Total.CHUNKS_CLAIMED) == 2


def test_losses_splits_convictions_and_what_is_published_again_are_counted(engine: Engine) -> None:
    submit_job_of(engine, 2)
    for _ in range(2):
        claim_waiting_chunks(engine)
        expire_leases(engine)
        assert recover_lost_chunk(engine, 2, 0.0)
    assert count(engine, Total.CHUNKS_SPLIT) == 1
    claim_waiting_chunks(engine)
    expire_leases(engine)
    while recover_lost_chunk(engine, 2, 0.0):
        pass

    figures = take_figures(engine)

    assert figures.totals.get(Total.CHUNKS_LOST) == 4
    assert figures.totals.get(Total.IMAGES_CONVICTED) == figures.outcomes[Outcome.ERROR] == 2
    assert figures.totals.get(Total.IMAGE_ERRORS, "worker_crash") == 2
    assert figures.totals.get(Total.CHUNKS_DISPATCHED, "bulk") == 4
    assert figures.unaccounted == 0


def test_what_is_given_back_cancelled_or_published_again_is_counted(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)
    claims = claim_waiting_chunks(engine)
    release_chunks(engine, claims[:1])
    release_chunks(engine, claims[:1])
    execute(engine, "UPDATE chunks SET state = 'dispatched', dispatched_at = now() WHERE state = 'pending'")
    assert len(redate_unclaimed(engine, 0.0)) == 1

    cancel_job(engine, job_id)
    cancel_job(engine, job_id)

    figures = take_figures(engine)
    assert figures.totals.get(Total.CHUNKS_GIVEN_BACK) == 1
    assert figures.totals.get(Total.CHUNKS_REPUBLISHED) == 1
    assert figures.totals.get(Total.IMAGE_ERRORS, "cancelled") == figures.outcomes[Outcome.ERROR] == 8
    assert figures.finished_last_minute == 0


def test_what_is_purged_stays_counted(engine: Engine) -> None:
    submit_job_of(engine, 4)
    finish_waiting_chunks(engine)

    assert sum(purge_jobs(engine, EndedJobs(), only_blobs=False)) == 1

    figures = take_figures(engine)
    assert (figures.submitted, figures.outcomes[Outcome.CLEAN], figures.unaccounted) == (4, 4, 0)


def test_webhooks_are_counted_by_what_came_of_them(engine: Engine) -> None:
    for name in ("delivered", "failed", "given-up", "waiting"):
        url = f"https://{name}.example/"
        submit_job(engine, ["file:///image"], JobOptions(webhook=url), submitter=name)
    finish_waiting_chunks(engine)
    for pause_s in (None, 60.0):
        delivery = claim_webhook(engine, 60)
        assert delivery is not None
        record_failed(engine, delivery, "no", pause_s)
    delivery = claim_webhook(engine, 60)
    assert delivery is not None
    record_delivered(engine, delivery)

    figures = take_figures(engine)

    results = figures.totals.by_label(Total.WEBHOOK_ATTEMPTS, ())
    assert results == {"delivered": 1, "failed": 1, "given_up": 1}
    assert (figures.webhooks.waiting, figures.webhooks.failed) == (2, 1)
    assert figures.webhooks.oldest_s >= 0


@pytest.mark.parametrize("state", ["running", "cancelled"])
def test_an_image_that_is_nowhere_is_unaccounted(engine: Engine, state: str) -> None:
    submit_job_of(engine, 3)
    assert take_figures(engine).unaccounted == 0

    execute(engine, f"UPDATE chunks SET state = 'done'; UPDATE jobs SET state = '{state}'")

    assert take_figures(engine).unaccounted == 3


def test_queues_show_what_waits_by_priority_and_what_is_put_off(engine: Engine) -> None:
    submit_job_of(engine, 5, priority=Priority.INTERACTIVE)
    submit_job_of(engine, 8)
    execute(engine, "UPDATE jobs SET created_at = now() - interval '1 hour' WHERE priority = 'bulk'")
    claim, other = claim_waiting_chunks(engine)
    assert finish_chunk(engine, claim, make_verdicts(engine, claim)[:1], put_off_s=3600)

    queues = {(each.priority, each.state, each.is_put_off): each for each in take_figures(engine).queues}

    put_off = queues[Priority.BULK, ChunkState.PENDING, True]
    assert (put_off.chunks, put_off.images) == (1, 3)
    assert 3600 <= put_off.oldest_s < 7200
    assert queues[Priority.BULK, ChunkState.RUNNING, False].images == len(other.images) == 4
    waiting = queues[Priority.INTERACTIVE, ChunkState.PENDING, False]
    assert (waiting.chunks, waiting.images) == (2, 5)
    assert waiting.oldest_s < 3600


def test_open_jobs_say_how_long_the_slowest_takes(engine: Engine) -> None:
    submit_job_of(engine, 8)
    submit_job_of(engine, 1)
    claim, *_ = claim_waiting_chunks(engine)
    assert finish_chunk(engine, claim, make_verdicts(engine, claim))
    execute(engine, "UPDATE jobs SET started_at = now() - interval '100 seconds', state = 'running' WHERE total = 8")
    execute(engine, "UPDATE jobs SET state = 'pending' WHERE total = 1")

    (bulk,) = take_figures(engine).open_jobs

    assert (bulk.priority, bulk.pending, bulk.running) == (Priority.BULK, 1, 1)
    assert 100 <= bulk.longest_left_s < 200


def test_images_are_counted_by_how_long_they_took() -> None:
    for age_s, bound in ((0.0, "0.1"), (0.1, "0.1"), (1.5, "2"), (1e9, "inf")):
        counts = count_verdicts([NewVerdict(0, "", Outcome.CLEAN)] * 3, Priority.INTERACTIVE, age_s)
        assert counts[Total.IMAGE_SECONDS, f"interactive {bound}"] == 3
        assert counts[Total.IMAGE_MILLISECONDS, "interactive"] == 3000 * age_s
    assert math.isinf(IMAGE_SECONDS[-1])


def test_recent_images_are_those_of_the_last_minute(engine: Engine) -> None:
    ages = {0: 1, PERIOD_S: 10, 60 - 2 * PERIOD_S: 100, 60 + 2 * PERIOD_S: 1000}
    rows = ", ".join(
        f"({slot}, 0, floor(extract(epoch FROM now() - interval '{age} s') / {PERIOD_S}), {images})"
        for slot, (age, images) in enumerate(ages.items())
    )
    execute(engine, f"INSERT INTO recent_images (slot, shard, period, images) VALUES {rows}")

    with engine.connect() as connection:
        assert count_recent_images(connection) == 111


def test_the_ring_of_recent_images_is_used_again(engine: Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            raise_totals(connection, count_one(Total.IMAGES_FINISHED, "clean", 5))
        execute(engine, "UPDATE recent_images SET period = period - 16")
    with engine.begin() as connection:
        raise_totals(connection, count_one(Total.IMAGES_FINISHED, "clean", 7))

    with engine.connect() as connection:
        assert count_recent_images(connection) in (7, 0)
        (left,) = connection.execute(text("SELECT max(images) FROM recent_images")).one()
    assert left <= 7


def test_totals_raised_at_once_add_up(engine: Engine) -> None:
    """Two connections with the same shard may wait for each other, but cannot deadlock."""
    ready = threading.Barrier(8)

    def raise_some(number: int) -> None:
        for _ in range(25):
            names = list(Total) if number % 2 else list(reversed(Total))
            with engine.begin() as connection:
                counts = count_one(names[0])
                for name in names[1:]:
                    counts += count_one(name)
                ready.wait(60)
                raise_totals(connection, counts)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_some, range(8)))

    with engine.connect() as connection:
        totals = read_totals(connection)
        assert {total: totals.get(total) for total in Total} == dict.fromkeys(Total, 200)
        (rows,) = connection.execute(text("SELECT count(DISTINCT shard) FROM totals")).one()
    assert rows <= SHARDS


def test_a_total_of_a_newer_release_is_left_out(engine: Engine) -> None:
    execute(engine, f"INSERT INTO totals VALUES ('{uuid.uuid4()}', '', 0, 1)")

    with engine.connect() as connection:
        assert read_totals(connection).counts == {}
