"""Rounds of canaries against the real database, with a stand-in for a worker."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from producer.canaries.drawing import Canary, draw_canaries
from producer.canaries.rounds import run_round
from producer.canaries.service import CanaryService
from producer.dispatching.sweeper import Sweeper
from starlight_vocabulary.words import METHODS, Method, Outcome, Priority
from storage.blobs import Blobs
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, read_canaries
from storage.chunks import Claim, finish_chunk
from storage.jobs import list_jobs
from storage.new_verdict import NewVerdict
from storage.settings import CANARY_SUBMITTER, Settings
from storage.workers import report_worker
from tests.kit.changes import wait_for_change
from tests.kit.rows import claim_waiting_chunks, register_v4
from tests.kit.threads import PATIENCE_S, start_thread

SEED = 5
IMAGES = 2 * len(METHODS)


def claim_round(engine: Engine) -> list[Claim]:
    """Claim all chunks of the next round."""
    claims: list[Claim] = []

    def are_claimed() -> bool:
        claims.extend(claim_waiting_chunks(engine, priority=Priority.INTERACTIVE))
        return sum(len(claim.refs) for claim in claims) == IMAGES

    wait_for_change(engine, "chunks", are_claimed)
    return claims


def answer_round(engine: Engine, canaries: Sequence[Canary], claims: Sequence[Claim]) -> None:
    """Store the right verdict on each image of a round."""
    for claim in claims:
        verdicts = [
            NewVerdict(
                ordinal, uri, Outcome.STEGO if canaries[ordinal].hidden else Outcome.CLEAN, bytes(32),
                0.9 if canaries[ordinal].hidden else 0.1, canaries[ordinal].hidden,
                extracted_message=canaries[ordinal].message, model_id=register_v4(engine),
            )
            for ordinal, uri in claim.images
        ]  # fmt: skip
        assert finish_chunk(engine, claim, verdicts)


def wait_for(answers: "Future[list[CanaryAnswer]]") -> dict[str, CanaryResult]:
    """Return the results of a round by image name."""
    return {answer.name: answer.result for answer in answers.result(PATIENCE_S)}


def begin(engine: Engine) -> int:
    round_id = begin_round(engine, SEED, 0.0)
    assert round_id is not None
    return round_id


def test_what_comes_back_is_compared_with_what_was_drawn(engine: Engine, configured: Settings) -> None:
    canaries = draw_canaries(SEED)
    answers = start_thread(run_round, engine, configured, begin(engine), SEED, PATIENCE_S)
    claims = claim_round(engine)
    assert {claim.submitter for claim in claims} == {CANARY_SUBMITTER}
    spoilt = [
        canaries[0],
        Canary("", b"", Method.RAW, "no message"),
        Canary(canaries[2].name, b"", Method.PALETTE, canaries[2].message + "!" if canaries[2].message else None),
        *canaries[3:],
    ]

    answer_round(engine, spoilt, claims)

    results = wait_for(answers)
    assert results[canaries[1].name] is CanaryResult.WRONG
    assert results[canaries[2].name] is CanaryResult.UNREAD
    assert list(results.values()).count(CanaryResult.RIGHT) == IMAGES - 2
    newest = read_canaries(engine).newest
    assert newest is not None
    assert {answer.name: answer.result for answer in newest.answers} == results
    assert all(answer.model and answer.seconds for answer in newest.answers)


def test_what_does_not_come_back_in_time_is_missing_and_cancelled(engine: Engine, configured: Settings) -> None:
    answers = run_round(engine, configured, begin(engine), SEED, 0.0)

    assert {answer.result for answer in answers} == {CanaryResult.MISSING}
    assert claim_waiting_chunks(engine, priority=Priority.INTERACTIVE) == []
    assert list_jobs(engine, submitter=CANARY_SUBMITTER) == []


def test_a_round_that_cannot_be_stored_is_as_if_it_had_not_begun(engine: Engine, configured: Settings) -> None:
    nowhere = configured.model_copy(update={"blob_url": "file:///dev/null/blobs"})

    with pytest.raises(OSError, match="/dev/null"):
        run_round(engine, nowhere, begin(engine), SEED, 0.0)

    assert read_canaries(engine).newest is None
    begin(engine)


def test_the_service_runs_a_round_when_one_is_due_and_a_worker_lives(engine: Engine, configured: Settings) -> None:
    service = CanaryService(engine, configured)
    assert service.run_if_due() is None
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))

    answers = start_thread(service.run_if_due)
    claims = claim_round(engine)
    with engine.connect() as connection:
        seed = connection.execute(text("SELECT seed FROM canary_rounds")).scalar_one()
    answer_round(engine, draw_canaries(seed), claims)

    found = answers.result(PATIENCE_S)
    assert found is not None
    assert {answer.result for answer in found} == {CanaryResult.RIGHT}
    assert service.run_if_due() is None
    # Images that are not needed any more are deleted soon.
    blobs = Blobs(configured.blobs())
    assert Sweeper(engine, blobs, configured).sweep() == IMAGES
    with pytest.raises(FileNotFoundError):
        blobs.open(claims[0].refs[0].split("/")[2])


def test_without_an_interval_there_are_no_rounds(engine: Engine, configured: Settings) -> None:
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))

    assert CanaryService(engine, configured.model_copy(update={"canary_interval": timedelta(0)})).run_if_due() is None
