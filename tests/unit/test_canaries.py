"""Canaries: how they are drawn, and how verdicts on them are compared with the truth."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image

from producer.canaries.drawing import Canary, draw_canaries
from producer.canaries.rounds import make_answer
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import METHODS, ErrorCode, Method, Outcome
from storage.canaries import CanaryResult, find_worst
from worker.v4.extraction import read_payload

SEEDS = range(12)
SUBMITTED = datetime(2026, 11, 27, tzinfo=UTC)
STEGO = Canary("exif.jpg", b"", Method.EXIF, "meet me")
CLEAN = Canary("exif-clean.jpg", b"")
VERDICT = Verdict(
    job_id=uuid.UUID(int=0), ordinal=0, uri="blob://", sha256=None, outcome=Outcome.STEGO, is_stego=True,
    stego_probability=0.99, confidence=0.99, prediction=Outcome.STEGO, stego_type=Method.EXIF, bit_order=None,
    extracted_message="meet me", error_code=None, error_detail=None, model="v4", threshold=0.5, width=1, height=1,
    format="JPEG", size_bytes=1, reused=False, scanned_at=SUBMITTED + timedelta(seconds=2), payload=None,
)  # fmt: skip
JUDGED_CLEAN = replace(
    VERDICT, outcome=Outcome.CLEAN, is_stego=False, prediction=Outcome.CLEAN, stego_type=None, extracted_message=None
)
FAILED = replace(JUDGED_CLEAN, outcome=Outcome.ERROR, is_stego=None, prediction=None, error_code=ErrorCode.NOT_FOUND)
CANCELLED = replace(FAILED, error_code=ErrorCode.CANCELLED)


def read_texts(canary: Canary, method: Method) -> set[str | None]:
    """Return what is read from the carrier of this method, in both bit orders."""
    image = Image.open(BytesIO(canary.data))
    orders = ("lsb-first", "msb-first")
    return {read_payload(image, canary.data, method, order).payload.text for order in orders}


def test_a_seed_draws_the_same_each_time_and_others_draw_others() -> None:
    assert draw_canaries(1) == draw_canaries(1)
    data = [canary.data for seed in SEEDS for canary in draw_canaries(seed)]
    assert len(set(data)) == len(data) == 2 * len(METHODS) * len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_method_hides_its_message_beside_a_twin_that_has_none(seed: int) -> None:
    canaries = draw_canaries(seed)

    assert [canary.hidden for canary in canaries] == [hidden for method in METHODS for hidden in (method, None)]
    for stego, twin in zip(canaries[::2], canaries[1::2], strict=True):
        assert stego.hidden is not None
        assert stego.message in read_texts(stego, stego.hidden)
        assert stego.message not in read_texts(twin, stego.hidden)
        assert (twin.hidden, twin.message) == (None, None)


@pytest.mark.parametrize(
    ("canary", "verdict", "result"),
    [
        (STEGO, VERDICT, CanaryResult.RIGHT),
        (CLEAN, JUDGED_CLEAN, CanaryResult.RIGHT),
        (STEGO, replace(VERDICT, extracted_message="meet m"), CanaryResult.UNREAD),
        (STEGO, replace(VERDICT, stego_type=Method.RAW), CanaryResult.WRONG),
        (STEGO, JUDGED_CLEAN, CanaryResult.WRONG),
        (CLEAN, VERDICT, CanaryResult.WRONG),
        # Stego by the job's own threshold; V4 then names no method.
        (CLEAN, replace(VERDICT, stego_type=None), CanaryResult.WRONG),
        (CLEAN, FAILED, CanaryResult.ERROR),
        (STEGO, CANCELLED, CanaryResult.MISSING),
        (CLEAN, None, CanaryResult.MISSING),
    ],
)
def test_a_verdict_is_compared_with_the_truth(canary: Canary, verdict: Verdict | None, result: CanaryResult) -> None:
    answer = make_answer(canary, verdict, SUBMITTED)

    assert (answer.name, answer.hidden, answer.result) == (canary.name, canary.hidden, result)
    assert answer.seconds == (None if result is CanaryResult.MISSING else 2.0)


def test_a_round_is_as_good_as_its_worst_answer() -> None:
    answers = [make_answer(STEGO, VERDICT, SUBMITTED), make_answer(CLEAN, VERDICT, SUBMITTED)]

    assert find_worst(answers[:1]) is CanaryResult.RIGHT
    assert find_worst(answers) is CanaryResult.WRONG
    assert find_worst([]) is CanaryResult.MISSING
