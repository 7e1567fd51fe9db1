"""Chunks: one claimant, one outcome per image, and the recovery of lost ones."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from starlight_vocabulary.words import Outcome, Priority
from storage.audits import audit_jobs
from storage.chunks import claim_chunk, finish_chunk, lose_chunk, renew_leases
from storage.dispatch import recover_lost_chunk, redate_unclaimed
from storage.jobs import cancel_job
from storage.unclaimed_chunks import is_ahead, postpone_chunk
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.rows import (
    LEASE_S,
    claim_waiting_chunks,
    execute,
    expire_leases,
    make_verdicts,
    pick_ids,
    read_chunk_states,
    read_job,
    submit_job_of,
)

# After a start of PostgreSQL, as in the tests, leases last one lease longer.
NO_LEASE = 0.0


def test_of_eight_claimants_exactly_one_gets_the_chunk(engine: Engine) -> None:
    # The long form: CLAIMS=10000 scripts/test tests/integration/test_chunks.py -k eight
    times = int(os.environ.get("CLAIMS", "200"))
    submit_job_of(engine, times, chunk_size=1)
    chunks = pick_ids(engine, Priority.BULK, times)
    assert len(chunks) == times

    with ThreadPoolExecutor(8) as pool:
        for chunk in chunks:
            claim = partial(claim_chunk, engine, chunk, lease_s=LEASE_S)
            claims = list(pool.map(claim, [f"cpu{index}" for index in range(8)]))
            assert sum(claimed is not None for claimed in claims) == 1


def test_a_chunk_that_has_ended_cannot_be_claimed(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim))

    assert claim_chunk(engine, claim.chunk_id, "cpu1", LEASE_S) is None
    assert claim_chunk(engine, uuid.uuid4(), "cpu1", LEASE_S) is None


def test_a_worker_that_only_seemed_dead_stores_nothing(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    (zombie,) = claim_waiting_chunks(engine, "cpu0")
    expire_leases(engine)
    assert recover_lost_chunk(engine, 3, NO_LEASE)
    (claim,) = claim_waiting_chunks(engine, "cpu1")

    assert not finish_chunk(engine, zombie, make_verdicts(engine, zombie, Outcome.STEGO))
    assert finish_chunk(engine, claim, make_verdicts(engine, claim))
    assert not finish_chunk(engine, zombie, make_verdicts(engine, zombie, Outcome.STEGO))

    job = read_job(engine, job_id)
    assert (job.clean, job.stego) == (4, 0)
    assert next(audit_jobs(engine, [job_id])).exact


def test_verdicts_and_the_end_of_the_chunk_are_stored_together_or_not_at_all(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    verdicts = make_verdicts(engine, claim)
    execute(engine, "ALTER TABLE verdicts ADD CHECK (ordinal <> 3)")

    with pytest.raises(DBAPIError):
        finish_chunk(engine, claim, verdicts)

    assert read_job(engine, job_id).finished == 0
    assert read_chunk_states(engine) == ["running"]


def test_a_lease_that_was_lost_is_not_renewed_even_by_a_worker_of_the_same_name(engine: Engine) -> None:
    submit_job_of(engine, 4)
    zombie = claim_waiting_chunks(engine, "cpu0")
    expire_leases(engine)
    assert recover_lost_chunk(engine, 3, NO_LEASE)
    claim_waiting_chunks(engine, "cpu0")
    expire_leases(engine)

    renew_leases(engine, zombie, LEASE_S)

    assert recover_lost_chunk(engine, 3, NO_LEASE)


def test_leases_are_renewed_by_their_holder(engine: Engine) -> None:
    submit_job_of(engine, 8)
    first, _ = claim_waiting_chunks(engine, "cpu0")
    expire_leases(engine)

    renew_leases(engine, [first], LEASE_S)

    assert recover_lost_chunk(engine, 3, NO_LEASE)
    assert not recover_lost_chunk(engine, 3, NO_LEASE)
    assert read_chunk_states(engine) == ["running", "pending"]


def test_a_claim_that_is_made_again_by_the_same_claimant_holds_and_no_other(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (chunk,) = pick_ids(engine, Priority.BULK, 1000)
    first = claim_chunk(engine, chunk, "cpu0 a", LEASE_S)

    again = claim_chunk(engine, chunk, "cpu0 a", LEASE_S)

    assert claim_chunk(engine, chunk, "cpu0 b", LEASE_S) is None
    assert first is not None
    assert again is not None
    assert not finish_chunk(engine, first, make_verdicts(engine, first))
    assert finish_chunk(engine, again, make_verdicts(engine, again))
    assert claim_chunk(engine, chunk, "cpu0 a", LEASE_S) is None


def test_nothing_counts_as_lost_until_workers_could_renew_after_a_start_of_postgres(engine: Engine) -> None:
    submit_job_of(engine, 4)
    claim_waiting_chunks(engine)
    expire_leases(engine)

    assert not recover_lost_chunk(engine, 3, lease_s=3600)
    assert recover_lost_chunk(engine, 3, NO_LEASE)


def test_an_abandoned_chunk_is_lost_at_once(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)

    assert not recover_lost_chunk(engine, 3, NO_LEASE)
    lose_chunk(engine, claim)

    assert recover_lost_chunk(engine, 3, NO_LEASE)
    (again,) = claim_waiting_chunks(engine)
    assert (again.attempt, again.losses) == (2, 1)


def test_a_chunk_lost_twice_is_split_and_the_culprit_convicted_alone(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    poison = "file:///image-2"
    deaths = 0

    while claims := claim_waiting_chunks(engine):
        for claim in claims:
            if poison in claim.refs:
                deaths += 1
                expire_leases(engine)
            else:
                assert finish_chunk(engine, claim, make_verdicts(engine, claim))
        while recover_lost_chunk(engine, 3, NO_LEASE):
            pass

    verdicts = list(find_verdicts(engine, VerdictFilter(job_id=job_id)))
    assert [verdict.error_code for verdict in verdicts] == [None, None, "worker_crash", None]
    assert deaths == 4
    assert read_job(engine, job_id).state == "done"
    assert next(audit_jobs(engine, [job_id])).exact


def test_the_pieces_of_a_split_chunk_run_alone(engine: Engine) -> None:
    submit_job_of(engine, 3)
    for _ in range(2):
        claim_waiting_chunks(engine)
        expire_leases(engine)
        recover_lost_chunk(engine, 3, NO_LEASE)

    pieces = claim_waiting_chunks(engine)

    assert [(piece.first_ordinal, piece.refs, piece.losses) for piece in pieces] == [
        (ordinal, [f"file:///image-{ordinal}"], 1) for ordinal in range(3)
    ]


def test_a_job_cancelled_while_its_chunk_is_split_is_accounted_for(engine: Engine) -> None:
    for _ in range(20):
        job_id = submit_job_of(engine, 4)
        claim_waiting_chunks(engine)
        expire_leases(engine)
        recover_lost_chunk(engine, 3, NO_LEASE)
        claim_waiting_chunks(engine)
        expire_leases(engine)

        with ThreadPoolExecutor(2) as pool:
            split = pool.submit(recover_lost_chunk, engine, 3, NO_LEASE)
            cancelled = pool.submit(cancel_job, engine, job_id)
            split.result()
            assert cancelled.result() == 4

        assert next(audit_jobs(engine, [job_id])).exact


def test_only_old_unclaimed_chunks_are_published_again_and_not_twice_in_a_row(engine: Engine) -> None:
    submit_job_of(engine, 8)
    picked = pick_ids(engine, Priority.BULK, 1000)
    claim_chunk(engine, picked[0], "cpu0", LEASE_S)
    assert redate_unclaimed(engine, 60) == []

    execute(engine, "UPDATE chunks SET dispatched_at = now() - interval '61 seconds'")

    assert [(chunk.chunk_id, chunk.images) for chunk in redate_unclaimed(engine, 60)] == [(picked[1], 4)]
    assert redate_unclaimed(engine, 60) == []


def test_a_submitter_is_ahead_of_one_of_whom_less_runs_and_something_waits(engine: Engine) -> None:
    submit_job_of(engine, 12, submitter="mallory")
    for chunk in pick_ids(engine, Priority.BULK, 16)[:2]:
        assert claim_chunk(engine, chunk, "cpu0", LEASE_S) is not None
    assert not is_ahead(engine, "mallory", Priority.BULK)

    submit_job_of(engine, 4, submitter="ann")
    assert not is_ahead(engine, "mallory", Priority.BULK)
    (theirs,) = pick_ids(engine, Priority.BULK, 16)

    assert is_ahead(engine, "mallory", Priority.BULK)
    assert not is_ahead(engine, "ann", Priority.BULK)
    assert claim_chunk(engine, theirs, "cpu0", LEASE_S) is not None
    assert not is_ahead(engine, "mallory", Priority.BULK)


def test_what_waits_with_another_priority_is_no_reason_to_give_way(engine: Engine) -> None:
    submit_job_of(engine, 4, submitter="ann")
    (running,) = pick_ids(engine, Priority.BULK, 16)
    assert claim_chunk(engine, running, "cpu0", LEASE_S) is not None
    submit_job_of(engine, 4, submitter="bob")
    assert len(pick_ids(engine, Priority.BULK, 16)) == 1

    assert is_ahead(engine, "ann", Priority.BULK)
    assert not is_ahead(engine, "ann", Priority.INTERACTIVE)


def test_a_chunk_that_is_postponed_is_dispatched_again_in_its_time(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (chunk,) = pick_ids(engine, Priority.BULK, 16)

    postpone_chunk(engine, chunk, 3600.0)
    assert pick_ids(engine, Priority.BULK, 16) == []
    execute(engine, "UPDATE chunks SET not_before = now()")

    assert pick_ids(engine, Priority.BULK, 16) == [chunk]
    assert claim_chunk(engine, chunk, "cpu0", LEASE_S) is not None
    postpone_chunk(engine, chunk, 3600.0)
    assert read_chunk_states(engine) == ["running"]
