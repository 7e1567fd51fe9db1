"""Reuse of verdicts on the same bytes, in the real database and by a worker process."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.payload import Payload, PayloadKind
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import ErrorCode, Method, Outcome, Priority
from storage.chunks import finish_chunk
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.reuse import recall_verdicts
from storage.settings import CANARY_SUBMITTER, Settings
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.detectors import HeldDetector
from tests.kit.payloads import READ_TEXT, make_payload
from tests.kit.pictures import encode_pattern
from tests.kit.rows import claim_waiting_chunks, pick_ids, register_v4, submit_job_of
from worker.process import WorkerProcess

DIGEST = hashlib.sha256(b"image").digest()


def recall(
    engine: Engine,
    model_id: int,
    threshold: float | None = None,
    submitter: str | None = None,
    limit: int = 4096,
    within: timedelta = timedelta(days=1),
) -> dict[bytes, NewVerdict]:
    """Return the recalled verdicts for the bytes of the stored verdicts, and for other bytes."""
    return recall_verdicts(
        engine, model_id, [DIGEST, bytes(32)], threshold, submitter, max_message_bytes=limit, within=within
    )


def stored(engine: Engine, *verdicts: tuple[Outcome, float], payload: Payload | None = READ_TEXT) -> None:
    """Store verdicts with these outcomes and probabilities on the same bytes; stego ones have this payload."""
    submit_job_of(engine, len(verdicts), chunk_size=len(verdicts))
    (claim,) = claim_waiting_chunks(engine)
    method = {Outcome.STEGO: Method.RAW}
    finish_chunk(
        engine,
        claim,
        [
            NewVerdict(ordinal, uri, outcome, DIGEST, probability, method.get(outcome), model_id=register_v4(engine),
                       payload=payload if outcome is Outcome.STEGO else None,
                       extracted_message=payload.to_message() if payload and outcome is Outcome.STEGO else None,
                       error_code=ErrorCode.SCAN_FAILED if outcome is Outcome.ERROR else None)
            for (ordinal, uri), (outcome, probability) in zip(claim.images, verdicts, strict=True)
        ],
    )  # fmt: skip


def test_a_verdict_of_a_job_that_is_too_old_is_not_reused(engine: Engine) -> None:
    stored(engine, (Outcome.CLEAN, 0.25))

    assert set(recall(engine, register_v4(engine))) == {DIGEST}
    assert recall(engine, register_v4(engine), within=timedelta(microseconds=1)) == {}


@pytest.mark.parametrize(
    ("outcome", "probability", "threshold", "found"),
    [
        (Outcome.CLEAN, 0.25, None, True),
        (Outcome.STEGO, 0.75, None, True),
        (Outcome.CLEAN, 0.25, 0.9, True),
        (Outcome.STEGO, 0.75, 0.6, True),
        # With this threshold the outcome would change, but the method was not stored, or would have to be removed.
        (Outcome.CLEAN, 0.25, 0.2, False),
        (Outcome.STEGO, 0.75, 0.8, False),
        (Outcome.ERROR, 0.75, None, False),
    ],
)
def test_a_verdict_is_recalled_where_the_threshold_makes_the_same_of_it(
    engine: Engine, outcome: Outcome, probability: float, threshold: float | None, found: bool
) -> None:
    stored(engine, (outcome, probability))

    recalled = recall(engine, register_v4(engine), threshold)

    assert set(recalled) == ({DIGEST} if found else set())
    if found:
        assert (recalled[DIGEST].outcome, recalled[DIGEST].stego_probability) == (outcome, probability)


def test_of_many_verdicts_on_the_same_bytes_the_one_that_fits_is_recalled(engine: Engine) -> None:
    stored(engine, (Outcome.ERROR, 0.5), (Outcome.CLEAN, 0.7), (Outcome.STEGO, 0.7))

    assert recall(engine, register_v4(engine))[DIGEST].outcome == "stego"
    assert recall(engine, register_v4(engine), 0.8)[DIGEST].outcome == "clean"


@pytest.mark.parametrize(
    ("payload", "limit", "found"),
    [
        (READ_TEXT, 100_000, True),
        (make_payload(truncated=True, limit=4096), 4096, True),
        (make_payload(truncated=True, limit=4096), 1000, True),
        (make_payload(truncated=True, limit=4096), 4097, False),
        # From an older release, or of an image whose bytes could not be read again.
        (None, 4096, False),
        (make_payload(kind=PayloadKind.EMPTY, size=0, text=None), 4096, True),
    ],
)
def test_a_verdict_whose_message_could_be_read_further_is_not_recalled(
    engine: Engine, payload: Payload | None, limit: int, found: bool
) -> None:
    stored(engine, (Outcome.STEGO, 0.75), payload=payload)

    recalled = recall(engine, register_v4(engine), limit=limit)

    assert [each.payload for each in recalled.values()] == ([payload] if found else [])
    assert [each.extracted_message for each in recalled.values()] == (
        [payload.to_message()] if found and payload else []
    )


def test_another_model_is_asked_anew(engine: Engine) -> None:
    stored(engine, (Outcome.CLEAN, 0.25))
    other = register_model(engine, name="v4", version="1", sha256="1" * 64, threshold=0.5)

    assert recall(engine, other) == {}


def test_a_submitter_is_told_nothing_of_others(engine: Engine) -> None:
    stored(engine, (Outcome.CLEAN, 0.25))
    model_id = register_v4(engine)

    assert recall(engine, model_id, submitter="bob") == {}
    assert set(recall(engine, model_id, submitter="ann")) == {DIGEST}
    assert set(recall(engine, model_id)) == {DIGEST}


@pytest.mark.parametrize("across", [True, False])
def test_a_worker_reuses_across_submitters_only_where_that_is_switched_on(
    engine: Engine, configured: Settings, tmp_path: Path, across: bool
) -> None:
    settings = configured.model_copy(update={"reuse_across_submitters": across})
    process = WorkerProcess(engine, settings, name="cpu0@here", device="cpu0", detector=HeldDetector())
    process.start()
    (tmp_path / "image.png").write_bytes(encode_pattern("PNG"))
    reused = []

    for submitter in ("ann", "bob", "ann", CANARY_SUBMITTER):
        is_canary = submitter == CANARY_SUBMITTER
        references = [(tmp_path / "image.png").as_uri()]
        job_id = submit_job(engine, references, submitter=submitter, canary=is_canary).job_id
        (chunk,) = pick_ids(engine, Priority.BULK, 10)
        process.scan_chunk(chunk)
        reused += [verdict.reused for verdict in find_verdicts(engine, VerdictFilter(job_id=job_id))]

    process.stop()
    assert reused == [False, across, True, False]


@pytest.mark.parametrize("reuse", [True, False])
def test_a_worker_reuses_verdicts_across_jobs_and_says_so_unless_that_is_switched_off(
    engine: Engine, configured: Settings, tmp_path: Path, reuse: bool
) -> None:
    class Counting(HeldDetector):
        scored = 0

        def score(self, batch, thresholds=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            self.scored += len(batch)
            return super().score(batch, thresholds)

    detector = Counting()
    settings = configured.model_copy(update={"reuse": reuse})
    process = WorkerProcess(engine, settings, name="cpu0@here", device="cpu0", detector=detector)
    process.start()
    image, copy = tmp_path / "image.png", tmp_path / "copy.png"
    for path in (image, copy):
        path.write_bytes(encode_pattern("PNG"))

    def scanned(*paths: Path) -> list[Verdict]:
        job_id = submit_job(engine, [path.as_uri() for path in paths], submitter="ann").job_id
        (chunk,) = pick_ids(engine, Priority.BULK, 10)
        process.scan_chunk(chunk)
        return list(find_verdicts(engine, VerdictFilter(job_id=job_id)))

    first, second = scanned(image), scanned(copy, image)
    process.stop()

    assert [verdict.reused for verdict in (*first, *second)] == [False, reuse, reuse]
    assert detector.scored == (1 if reuse else 3)
    described = ("sha256", "outcome", "stego_probability", "model", "threshold", "width", "format", "size_bytes")
    assert {tuple(getattr(verdict, key) for key in described) for verdict in second} == {
        tuple(getattr(first[0], key) for key in described)
    }
    assert [verdict.uri for verdict in second] == [copy.as_uri(), image.as_uri()]
