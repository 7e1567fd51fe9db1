"""Verdicts: what the table refuses, and what the queries and the interface say of its rows."""

import json

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.following import Follower
from storage.chunks import finish_chunk
from storage.figures import take_figures
from storage.jobs import cancel_job
from storage.models import register_model
from storage.verdicts import RECORD_KEYS, NewVerdict, VerdictFilter, find_verdicts
from tests.integration.rows import claimed, execute, model, submitted, verdicts_for


def test_a_verdict_without_its_model_or_with_an_unexplained_error_is_refused(engine: Engine) -> None:
    submitted(engine, 1)
    (claim,) = claimed(engine)
    scored = {"ordinal": 0, "uri": claim.refs[0], "sha256": b"\0" * 32, "stego_probability": 0.5}

    for wrong in (
        NewVerdict(**scored, outcome="clean"),
        NewVerdict(**scored, outcome="odd", model_id=model(engine)),
        NewVerdict(**scored, outcome="stego", model_id=model(engine), method="f5"),
        NewVerdict(0, claim.refs[0], "error"),
        NewVerdict(**scored, outcome="clean", model_id=model(engine), error_code="empty"),
    ):
        with pytest.raises(DBAPIError):
            finish_chunk(engine, claim, [wrong])

    assert finish_chunk(engine, claim, [NewVerdict(**scored, outcome="clean", model_id=model(engine))])


def test_a_record_has_the_names_of_the_interface_and_says_which_model_decided(engine: Engine) -> None:
    job_id = submitted(engine, 2, chunk_size=2)
    (claim,) = claimed(engine)
    model_id = register_model(engine, name="v4", version="7", sha256="ab" * 32, threshold=0.75)
    found = NewVerdict(
        0, claim.refs[0], "stego", b"\x01" * 32, 0.875, "raw", "none", "psst", None, None, model_id, 3, 2, "PNG", 99
    )
    failed = NewVerdict(1, claim.refs[1], "error", error_code="empty", error_detail="the file is empty")
    finish_chunk(engine, claim, [found, failed])

    first, second = find_verdicts(engine, VerdictFilter(job_id=job_id))

    assert tuple(first) == tuple(second) == RECORD_KEYS
    assert json.loads(json.dumps(first)) == {
        **first, "job_id": str(job_id), "ordinal": 0, "uri": "file:///image-0", "sha256": "01" * 32, "outcome": "stego",
        "is_stego": True, "stego_probability": 0.875, "confidence": 0.875, "prediction": "stego", "stego_type": "raw",
        "bit_order": "none", "extracted_message": "psst", "error_code": None, "error_detail": None,
        "model": f"v4-7@sha256:{'ab' * 32}", "threshold": 0.75, "width": 3, "height": 2, "format": "PNG",
        "size_bytes": 99, "reused": False,
    }  # fmt: skip
    assert second["is_stego"] is second["confidence"] is second["prediction"] is second["model"] is None
    assert (second["error_code"], second["error_detail"]) == ("empty", "the file is empty")


def test_a_new_threshold_is_a_new_model_and_the_same_one_is_not(engine: Engine) -> None:
    card = {"name": "v4", "version": "1", "sha256": "0" * 64}

    first = register_model(engine, **card, threshold=0.5)

    assert register_model(engine, **card, threshold=0.5) == first
    assert register_model(engine, **card, threshold=0.6) != first


@pytest.mark.parametrize("ordered", [False, True])
def test_a_follower_yields_each_verdict_once_also_those_stored_before_and_out_of_order(
    engine: Engine, ordered: bool
) -> None:
    job_id = submitted(engine, 20)
    first, *others = claimed(engine)
    finish_chunk(engine, others[0], verdicts_for(engine, others[0]))
    left = [first, *others[1:]]
    seen = []

    for update in Follower(engine, job_id, ordered=ordered).updates():
        seen.extend(verdict["ordinal"] for verdict in update.verdicts)
        if left:
            claim = left.pop()
            finish_chunk(engine, claim, verdicts_for(engine, claim))

    assert sorted(seen) == list(range(20))
    assert not ordered or seen == sorted(seen)


def test_figures_account_for_every_image(engine: Engine) -> None:
    submitted(engine, 12)
    cancelled = submitted(engine, 4)
    done, running, _, _ = claimed(engine)
    finish_chunk(engine, done, verdicts_for(engine, done, "stego"))
    submitted(engine, 8)
    cancel_job(engine, cancelled)
    execute(engine, "UPDATE jobs SET created_at = now() - interval '5 minutes'")
    execute(engine, f"UPDATE chunks SET state = 'dispatched' WHERE id = '{running.chunk_id}'")

    figures = take_figures(engine)

    assert figures.submitted == 24
    assert figures.outcomes == {"clean": 0, "stego": 4, "error": 4}
    assert figures.waiting == {"pending": 8, "dispatched": 4, "running": 4}
    assert figures.finished_last_minute == 4
    assert 290 < figures.oldest_waiting_s < 400
