"""Rounds of canaries: one at a time, counted separately, excluded from everything else, and deleted at their end."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Method, Outcome, Priority
from storage.audits import audit_jobs
from storage.blobs import Blobs
from storage.canaries import (
    CanaryAnswer,
    CanaryResult,
    begin_round,
    delete_abandoned_canaries,
    end_round,
    give_up_round,
    read_canaries,
)
from storage.chunks import finish_chunk
from storage.dispatch import recover_lost_chunk
from storage.failures import count_failures
from storage.figures import take_figures
from storage.jobs import cancel_job, get_job, list_jobs
from storage.keys import KeyNameError, create_key
from storage.processes import measure_ages
from storage.reuse import recall_verdicts
from storage.settings import CANARY_SUBMITTER, Settings
from storage.storage_limits import StorageLimits
from storage.submission import submit_job
from storage.totals import Total
from storage.uploads import Upload
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.waiting import WaitingLimits, find_room
from tests.kit.rows import (
    claim_waiting_chunks,
    execute,
    expire_leases,
    finish_waiting_chunks,
    make_verdicts,
    register_v4,
    submit_job_of,
)

VIEWS = ("verdict", "job_summary", "daily_verdicts", "image_history", "method_by_submitter", "model_comparison")
RIGHT = CanaryAnswer("raw.jpg", Method.RAW, CanaryResult.RIGHT, "stego", "raw", 1.0, seconds=0.2)
MISSED = CanaryAnswer("alpha.png", Method.ALPHA, CanaryResult.WRONG, "clean", None, 0.1, seconds=0.3)
ALARM = CanaryAnswer("alpha-clean.png", None, CanaryResult.WRONG, "stego", "alpha", 0.9, seconds=3.0)
ABSENT = CanaryAnswer("exif.jpg", Method.EXIF, CanaryResult.MISSING)


def submit_canaries(engine: Engine, images: int = 2) -> uuid.UUID:
    references = [f"blob://{'0' * 64}/{number}" for number in range(images)]
    options = JobOptions(priority=Priority.INTERACTIVE)
    return submit_job(engine, references, options, submitter=CANARY_SUBMITTER, canary=True).job_id


def begin(engine: Engine, interval_s: float = 0.0) -> int:
    begun = begin_round(engine, 7, interval_s)
    assert begun is not None
    return begun


def test_one_round_runs_at_a_time_and_none_before_its_time(engine: Engine) -> None:
    first = begin(engine)
    assert begin_round(engine, 8, 0.0) is None

    end_round(engine, first, submit_canaries(engine), [RIGHT])

    assert begin_round(engine, 8, 3600.0) is None
    assert begin(engine) > first


def test_a_round_whose_program_died_is_forgotten_after_a_while(engine: Engine) -> None:
    first, job_id = begin(engine), submit_canaries(engine)
    assert delete_abandoned_canaries(engine) == 0
    execute(engine, "UPDATE canary_rounds SET started_at = now() - interval '6 minutes'")
    execute(engine, "UPDATE jobs SET created_at = now() - interval '6 minutes'")

    second = begin(engine)
    assert delete_abandoned_canaries(engine) == 1
    # The program of the first round was only slow: its results come too late.
    end_round(engine, first, job_id, [RIGHT])

    assert get_job(engine, job_id) is None
    assert read_canaries(engine).newest is None
    end_round(engine, second, submit_canaries(engine), [RIGHT])
    newest = read_canaries(engine).newest
    assert newest is not None
    assert newest.id == second


def test_what_came_of_a_round_is_kept_counted_and_read(engine: Engine) -> None:
    end_round(engine, begin(engine), submit_canaries(engine), [RIGHT])
    round_id = begin(engine)
    end_round(engine, round_id, submit_canaries(engine), [RIGHT, MISSED, ALARM, ABSENT])

    canaries, totals = read_canaries(engine), take_figures(engine).totals
    newest = canaries.newest
    assert newest is not None
    assert (newest.id, newest.seed, newest.result) == (round_id, 7, CanaryResult.MISSING)
    assert newest.answers == (RIGHT, MISSED, ALARM, ABSENT)
    assert newest.counts == {CanaryResult.RIGHT: 1, CanaryResult.WRONG: 2, CanaryResult.MISSING: 1}
    assert newest.slowest_s == 3.0
    assert set(canaries.ended_at) == {CanaryResult.RIGHT, CanaryResult.MISSING}
    assert canaries.ended_at[CanaryResult.MISSING] == newest.ended_at
    assert totals.by_label(Total.CANARY_IMAGES, ()) == {
        "raw right": 2, "alpha wrong": 1, "none wrong": 1, "exif missing": 1,
    }  # fmt: skip
    assert totals.by_label(Total.CANARY_ROUNDS, ()) == {"right": 1, "missing": 1}
    assert totals.by_label(Total.CANARY_SECONDS, ()) == {"0.25": 2, "0.5": 1, "5": 1}
    assert totals.get(Total.CANARY_MILLISECONDS) == 3700


def test_rounds_are_kept_for_days_and_no_longer(engine: Engine) -> None:
    end_round(engine, begin(engine), submit_canaries(engine), [MISSED])
    execute(engine, "UPDATE canary_rounds SET ended_at = now() - interval '8 days'")

    end_round(engine, begin(engine), submit_canaries(engine), [RIGHT])

    assert set(read_canaries(engine).ended_at) == {CanaryResult.RIGHT}


def test_a_round_that_is_given_up_leaves_nothing(engine: Engine) -> None:
    round_id, job_id = begin(engine), submit_canaries(engine)
    claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)

    give_up_round(engine, round_id, job_id)

    assert get_job(engine, job_id) is None
    assert read_canaries(engine).newest is None
    assert take_figures(engine).totals.by_label(Total.CANARY_ROUNDS, ()) == {}
    begin(engine)


def test_the_images_of_a_round_are_let_go_of_with_its_end(engine: Engine, configured: Settings) -> None:
    blobs = Blobs(configured.blobs())
    round_id = begin(engine)
    with Upload(engine, blobs, CANARY_SUBMITTER, StorageLimits(None, 0)) as upload:
        (digest,) = upload.put_all([b"image"])
        job_id = upload.submit([f"blob://{digest}/i"], JobOptions(), chunk_size=1, canary=True).job_id

    end_round(engine, round_id, job_id, [RIGHT])

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM job_blobs")).scalar_one() == 0
        assert connection.execute(text("SELECT released_at IS NOT NULL FROM blobs")).scalar_one()
        assert connection.execute(text("SELECT stored_bytes FROM submitters")).scalar_one() == 0
    assert take_figures(engine).submitted == 0


def test_waiting_canaries_are_in_no_queue_quota_list_or_total(engine: Engine) -> None:
    submit_canaries(engine)
    execute(engine, "UPDATE jobs SET created_at = now() - interval '1 hour'")

    figures = take_figures(engine)

    assert (figures.submitted, figures.queues, figures.open_jobs, figures.unaccounted) == (0, [], [], 0)
    assert measure_ages(engine) == {}
    assert find_room(engine, "ann", WaitingLimits(1, 1)).all == 0
    assert list_jobs(engine) == list_jobs(engine, only_open=True) == []
    assert [job.submitter for job in list_jobs(engine, submitter=CANARY_SUBMITTER)] == [CANARY_SUBMITTER]


def test_verdicts_on_canaries_are_in_no_search_view_or_total(engine: Engine) -> None:
    job_id = submit_canaries(engine)
    (claim,) = claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
    failed, *_ = make_verdicts(engine, claim, Outcome.ERROR)
    assert finish_chunk(engine, claim, [failed, make_verdicts(engine, claim)[1]])

    figures = take_figures(engine)

    assert set(figures.outcomes.values()) == {0}
    assert figures.finished_last_minute == figures.unaccounted == 0
    assert figures.totals.by_label(Total.IMAGE_ERRORS, ()) == figures.totals.by_label(Total.IMAGE_SECONDS, ()) == {}
    assert list(find_verdicts(engine, VerdictFilter())) == []
    assert list(audit_jobs(engine)) == []
    assert count_failures(engine, VerdictFilter()) == {}
    assert len(list(find_verdicts(engine, VerdictFilter(job_id=job_id)))) == 2
    assert len(list(find_verdicts(engine, VerdictFilter(submitter=CANARY_SUBMITTER)))) == 2
    with engine.connect() as connection:
        for view in VIEWS:
            assert connection.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() == 0, view


def test_views_show_what_is_no_canary(engine: Engine) -> None:
    submit_canaries(engine)
    submit_job_of(engine, 2)
    finish_waiting_chunks(engine)
    execute(engine, "UPDATE verdicts SET outcome = 'stego', method = 'raw' WHERE ordinal = 0")
    execute(engine, "INSERT INTO models (id, name, version, sha256, threshold) VALUES (99, 'v4', '9', '9', 0.5)")
    execute(engine, "UPDATE verdicts SET model_id = 99 WHERE ordinal = 1")

    with engine.connect() as connection:
        counts = {view: connection.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() for view in VIEWS}

    assert counts == {
        "verdict": 2, "job_summary": 1, "daily_verdicts": 2, "image_history": 2, "method_by_submitter": 1,
        "model_comparison": 1,
    }  # fmt: skip


def test_a_cancelled_or_convicted_canary_counts_nowhere(engine: Engine) -> None:
    cancel_job(engine, submit_canaries(engine))
    submit_canaries(engine, 1)
    while not recover_lost_chunk(engine, 1, 0.0):
        claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
        expire_leases(engine)

    figures = take_figures(engine)

    assert set(figures.outcomes.values()) == {0}
    assert figures.totals.get(Total.IMAGES_CONVICTED) == figures.unaccounted == 0
    assert figures.totals.get(Total.CHUNKS_LOST) == 1


def test_no_verdict_on_a_canary_is_reused(engine: Engine) -> None:
    submit_canaries(engine)
    (claim,) = claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
    assert finish_chunk(engine, claim, make_verdicts(engine, claim))

    assert (
        recall_verdicts(engine, register_v4(engine), [bytes(32)], None, max_message_bytes=1, within=timedelta(days=1))
        == {}
    )


def test_nobody_else_submits_under_the_name_of_canaries(engine: Engine) -> None:
    with pytest.raises(KeyNameError, match="'canary' is reserved for canaries"):
        create_key(engine, CANARY_SUBMITTER, ["submit"])
    with pytest.raises(ValueError, match="'canary' is reserved for canaries"):
        Settings(submitter=CANARY_SUBMITTER)
