"""Verdicts: the table's constraints, its queries, and the records of the interface."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from producer.following import Follower
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.chunks import finish_chunk
from storage.figures import take_figures
from storage.inscription_search import check_inscription
from storage.jobs import cancel_job
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.submission import submit_job
from storage.verdict_search import Position, VerdictFilter, find_verdicts
from storage.verdicts import PAGE, list_landed
from tests.kit.payloads import make_payload
from tests.kit.rows import (
    claim_waiting_chunks,
    execute,
    finish_waiting_chunks,
    make_verdicts,
    register_v4,
    submit_job_of,
)
from tests.kit.threads import PATIENCE_S


def test_a_verdict_without_its_model_or_with_an_unexplained_error_is_refused(engine: Engine) -> None:
    submit_job_of(engine, 1)
    (claim,) = claim_waiting_chunks(engine)
    model_id = register_v4(engine)
    scored = NewVerdict(0, claim.refs[0], Outcome.CLEAN, sha256=b"\0" * 32, stego_probability=0.5, model_id=model_id)

    for wrong in (
        replace(scored, model_id=None),
        replace(scored, outcome=cast(Outcome, "odd")),
        replace(scored, outcome=Outcome.STEGO, method=cast(Method, "f5")),
        NewVerdict(0, claim.refs[0], Outcome.ERROR),
        replace(scored, error_code=ErrorCode.EMPTY),
    ):
        with pytest.raises(DBAPIError):
            finish_chunk(engine, claim, [wrong])

    assert finish_chunk(engine, claim, [scored])


def test_a_record_has_the_names_of_the_interface_and_says_which_model_decided(engine: Engine) -> None:
    job_id = submit_job_of(engine, 2, chunk_size=2)
    (claim,) = claim_waiting_chunks(engine)
    model_id = register_model(engine, name="v4", version="7", sha256="ab" * 32, threshold=0.75)
    found = NewVerdict(
        0, claim.refs[0], Outcome.STEGO, b"\x01" * 32, 0.875, Method.RAW, BitOrder.NONE, "psst",
        model_id=model_id, width=3, height=2, format="PNG", size_bytes=99, payload=make_payload(text="psst"),
    )  # fmt: skip
    failed = NewVerdict(1, claim.refs[1], Outcome.ERROR, error_code=ErrorCode.EMPTY, error_detail="the file is empty")
    finish_chunk(engine, claim, [found, failed])

    first, second = find_verdicts(engine, VerdictFilter(job_id=job_id))

    assert tuple(to_json(first)) == tuple(to_json(second)) == VERDICT_KEYS
    assert json.loads(json.dumps(to_json(first))) == {
        **to_json(first), "job_id": str(job_id), "ordinal": 0, "uri": "file:///image-0", "sha256": "01" * 32,
        "outcome": "stego",
        "is_stego": True, "stego_probability": 0.875, "confidence": 0.875, "prediction": "stego", "stego_type": "raw",
        "bit_order": "none", "extracted_message": "psst", "error_code": None, "error_detail": None,
        "model": f"v4-7@sha256:{'ab' * 32}", "threshold": 0.75, "width": 3, "height": 2, "format": "PNG",
        "size_bytes": 99, "reused": False, "payload": to_json(make_payload(text="psst")),
    }  # fmt: skip
    assert (second.is_stego, second.confidence, second.prediction, second.model) == (None, None, None, None)
    assert (second.error_code, second.error_detail) == ("empty", "the file is empty")


def test_a_new_threshold_is_a_new_model_and_the_same_one_is_not(engine: Engine) -> None:
    card = {"name": "v4", "version": "1", "sha256": "0" * 64}

    first = register_model(engine, **card, threshold=0.5)

    assert register_model(engine, **card, threshold=0.5) == first
    assert register_model(engine, **card, threshold=0.6) != first


@pytest.mark.parametrize("ordered", [False, True])
def test_a_follower_yields_each_verdict_once_also_those_stored_before_and_out_of_order(
    engine: Engine, ordered: bool
) -> None:
    job_id = submit_job_of(engine, 20)
    first, *others = claim_waiting_chunks(engine)
    finish_chunk(engine, others[0], make_verdicts(engine, others[0]))
    left = [first, *others[1:]]
    seen: list[int] = []

    for update in Follower(engine, job_id, ordered=ordered).follow():
        seen.extend(verdict.ordinal for verdict in update.verdicts)
        if left:
            claim = left.pop()
            finish_chunk(engine, claim, make_verdicts(engine, claim))

    assert sorted(seen) == list(range(20))
    assert not ordered or seen == sorted(seen)


def test_verdicts_that_are_stored_at_once_land_one_after_the_other(engine: Engine) -> None:
    job_id = submit_job_of(engine, 12)
    claims = claim_waiting_chunks(engine)
    ready = [make_verdicts(engine, claim) for claim in claims[:2]]
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    with ThreadPoolExecutor(2) as pool, engine.connect() as holder, engine.connect() as observer:
        holder.execute(text("SELECT FROM jobs FOR UPDATE"))
        finished = [pool.submit(finish_chunk, engine, *each) for each in zip(claims[:2], ready, strict=True)]
        while observer.execute(waiting).scalar_one() < 2:
            observer.rollback()
        holder.rollback()
        assert all(each.result(PATIENCE_S) for each in finished)
    cancel_job(engine, job_id)

    places = [place for place, _ in list_landed(engine, job_id)]
    assert [place.landed for place in places] == [0] * 4 + [4] * 4 + [8] * 4
    assert {place.ordinal for place in places} == set(range(12))
    assert [place for place, _ in list_landed(engine, job_id, places[5], limit=3)] == places[6:9]


def test_a_search_goes_on_behind_any_verdict_also_among_those_stored_together(engine: Engine) -> None:
    sizes = {"ann": PAGE + 2, "bob": 3}
    jobs = {name: submit_job_of(engine, size, submitter=name, chunk_size=size) for name, size in sizes.items()}
    for claim in claim_waiting_chunks(engine):
        finish_chunk(engine, claim, make_verdicts(engine, claim))
    execute(engine, "UPDATE verdicts SET scanned_at = '2026-01-01' WHERE ordinal > 0")

    for wanted, total in (
        (VerdictFilter(), PAGE + 5), (VerdictFilter(submitter="ann"), PAGE + 2), (VerdictFilter(job_id=jobs["bob"]), 3),
        (VerdictFilter(job_id=jobs["bob"], submitter="ann"), 0),
    ):  # fmt: skip
        everything = list(find_verdicts(engine, wanted))
        assert len({(each.job_id, each.ordinal) for each in everything}) == len(everything) == total
        order = [(each.scanned_at, each.job_id, -each.ordinal) for each in everything]
        assert wanted.job_id or order == sorted(order, reverse=True)
        for index in (*range(min(5, total)), *range(max(0, total - 5), total)):
            rest = list(find_verdicts(engine, wanted, limit=4, after=Position.of(everything[index])))
            assert rest == everything[index + 1 : index + 5]


def test_a_search_that_waits_for_its_reader_holds_no_connection(engine: Engine) -> None:
    submit_job_of(engine, PAGE + 1, chunk_size=PAGE)
    for claim in claim_waiting_chunks(engine):
        finish_chunk(engine, claim, make_verdicts(engine, claim))
    found = find_verdicts(engine, VerdictFilter())

    next(found)

    assert engine.pool.status().count("Current Checked out connections: 0") == 1
    assert len(list(found)) == PAGE


def test_figures_account_for_every_image(engine: Engine) -> None:
    submit_job_of(engine, 12)
    cancelled = submit_job_of(engine, 4)
    done, running, _, _ = claim_waiting_chunks(engine)
    finish_chunk(engine, done, make_verdicts(engine, done, Outcome.STEGO))
    submit_job_of(engine, 8)
    cancel_job(engine, cancelled)
    execute(engine, "UPDATE jobs SET created_at = now() - interval '5 minutes'")
    execute(engine, f"UPDATE chunks SET state = 'dispatched' WHERE id = '{running.chunk_id}'")

    figures = take_figures(engine)

    assert figures.submitted == 24
    assert figures.outcomes == {"clean": 0, "stego": 4, "error": 4}
    assert figures.waiting == {"pending": 8, "dispatched": 4, "running": 4}
    assert figures.finished_last_minute == 4
    assert 290 < figures.oldest_waiting_s < 400


def test_verdicts_of_an_inscription_and_of_a_transaction_are_found_by_their_names(engine: Engine) -> None:
    first, second = "ab" * 32, "cd" * 32
    names = [f"{first}:i0", f"{first}:i1", f"{first}:i11", f"{second}:i1"]
    references = [f"blob://{'0' * 64}/bitcoin:{name}" for name in names]
    references += [f"bitcoin:{first}:i2", f"https://example.com/bitcoin:{first}:i1", f"file:///bitcoin:{first}:i1"]
    submit_job(engine, references, submitter="ann")
    finish_waiting_chunks(engine)

    def find(name: str) -> list[str]:
        found = find_verdicts(engine, VerdictFilter(inscription=check_inscription(name)))
        return sorted(verdict.uri for verdict in found)

    assert find(f"{first}:i1") == find(f"{first.upper()}i1") == find(f"bitcoin:{first}:i01") == [references[1]]
    assert find(f"{first}:i2") == [references[4]]
    assert find(first) == sorted([*references[:3], references[4]])
    assert find("ef" * 32) == []
    for wrong in ("", "ab", f"{first}:", f"{first}:1", f"{first}:i", f"{first}:i-1", f"x{first}", f"{first}:i1\n"):
        with pytest.raises(ValueError, match="use TXID:iN for"):
            check_inscription(wrong)
