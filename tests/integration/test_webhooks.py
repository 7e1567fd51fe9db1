"""Webhooks with a real receiver: signed, sent at least once, and never before the job has ended."""

import json
import uuid
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from standardwebhooks import Webhook

from producer.dispatching.deliverer import Deliverer
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import WebhookKind
from storage.jobs import cancel_job
from storage.settings import Settings
from storage.submission import submit_job
from storage.webhooks import claim_webhook
from tests.kit.receiver import SECRET, Receiver, receive_webhooks
from tests.kit.rows import execute, finish_waiting_chunks, read_webhook
from tests.kit.stargate import take_callback, write_block


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive_webhooks() as receiver:
        yield receiver


@pytest.fixture
def deliverer_settings(configured: Settings) -> Settings:
    settings = {
        "webhook_secret": SecretStr(SECRET),
        "webhook_attempts": 3,
        "fetch_allowed_networks": (ip_network("127.0.0.0/8"),),
    }
    return configured.model_copy(update=settings)


@pytest.fixture
def deliverer(engine: Engine, deliverer_settings: Settings) -> Deliverer:
    return Deliverer(engine, deliverer_settings)


def submit_job_with_webhook(engine: Engine, url: str) -> uuid.UUID:
    return submit_job(engine, ["file:///one", "file:///two"], JobOptions(webhook=url), submitter="ann").job_id


def make_due(engine: Engine) -> None:
    execute(engine, "UPDATE webhooks SET next_attempt_at = now()")


def test_a_job_that_has_ended_is_told_once_and_signed(engine: Engine, deliverer: Deliverer, receiver: Receiver) -> None:
    job_id = submit_job_with_webhook(engine, receiver.url)
    assert not deliverer.deliver_next()

    finish_waiting_chunks(engine)
    assert deliverer.deliver_next()
    make_due(engine)
    assert not deliverer.deliver_next()

    ((headers, body),) = receiver.messages
    message = Webhook(SECRET).verify(body, headers)
    assert message["type"] == "job.finished"
    assert (message["data"]["id"], message["data"]["state"]) == (str(job_id), "done")
    assert (message["data"]["total"], message["data"]["clean"]) == (2, 2)
    assert read_webhook(engine, job_id).summary == "delivered after 1 attempt"


def test_a_cancelled_job_is_told_too(engine: Engine, deliverer: Deliverer, receiver: Receiver) -> None:
    cancel_job(engine, submit_job_with_webhook(engine, receiver.url))

    assert deliverer.deliver_next()

    assert json.loads(receiver.messages[0][1])["data"]["state"] == "cancelled"


def test_what_is_not_taken_comes_again_with_the_same_id_after_a_pause(
    engine: Engine, deliverer: Deliverer, receiver: Receiver
) -> None:
    receiver.statuses = [500, 307, 200]
    job_id = submit_job_with_webhook(engine, receiver.url)
    finish_waiting_chunks(engine)

    assert deliverer.deliver_next()
    assert not deliverer.deliver_next()
    assert read_webhook(engine, job_id).summary == "not delivered yet, 1 attempt: the receiver answered 500"
    for _ in range(2):
        make_due(engine)
        assert deliverer.deliver_next()

    assert read_webhook(engine, job_id).summary == "delivered after 3 attempts"
    assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 1


@pytest.mark.parametrize(("statuses", "attempts"), [([503], 3), ([410], 1)])
def test_it_is_given_up_in_the_end(
    engine: Engine, deliverer: Deliverer, receiver: Receiver, statuses: list[int], attempts: int
) -> None:
    receiver.statuses = statuses
    job_id = submit_job_with_webhook(engine, receiver.url)
    finish_waiting_chunks(engine)

    while read_webhook(engine, job_id).given_up_at is None:
        make_due(engine)
        assert deliverer.deliver_next()

    make_due(engine)
    assert not deliverer.deliver_next()
    assert len(receiver.messages) == attempts
    assert "given up" in read_webhook(engine, job_id).summary


def test_a_deliverer_that_dies_loses_nothing(engine: Engine, deliverer: Deliverer, receiver: Receiver) -> None:
    job_id = submit_job_with_webhook(engine, receiver.url)
    finish_waiting_chunks(engine)
    assert claim_webhook(engine, hold_s=60) is not None
    assert not deliverer.deliver_next()

    make_due(engine)

    assert deliverer.deliver_next()
    assert read_webhook(engine, job_id).delivered_at is not None


def test_an_address_where_nobody_listens_is_a_reason_and_no_traceback(engine: Engine, deliverer: Deliverer) -> None:
    job_id = submit_job_with_webhook(engine, "http://127.0.0.1:1/")
    finish_waiting_chunks(engine)

    assert deliverer.deliver_next()

    assert str(read_webhook(engine, job_id).last_error).startswith("ConnectError")


def test_a_receiver_at_a_private_address_is_not_told(engine: Engine, configured: Settings, receiver: Receiver) -> None:
    strict = Deliverer(engine, configured.model_copy(update={"webhook_secret": SecretStr(SECRET)}))
    job_id = submit_job_with_webhook(engine, receiver.url)
    finish_waiting_chunks(engine)

    assert strict.deliver_next()

    assert receiver.messages == []
    assert read_webhook(engine, job_id).last_error == "ForbiddenAddressError: 127.0.0.1 has no public address"


def test_stargate_is_told_of_each_image_of_a_block_and_goes_on_where_it_was(
    engine: Engine, deliverer_settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    write_block(tmp_path / "840000_00ab", {"one.png": b"1", "two.png": b"2", "three.png": b"3"})
    deliverer = Deliverer(engine, deliverer_settings.model_copy(update={"blocks_root": tmp_path}))
    names = ("one.png", "two.png", "three.png")
    references = [f"file:///blocks/840000_00ab/images/{name}" for name in names]
    options = JobOptions(webhook=receiver.url, webhook_kind=WebhookKind.STARGATE)
    job_id = submit_job(
        engine,
        [*references, "file:///elsewhere/four.png", "https://example.com/1_0/images/a.png"],
        options,
        submitter="ann",
    ).job_id
    receiver.statuses = [200, 500, 200]
    finish_waiting_chunks(engine)

    assert deliverer.deliver_next()
    assert read_webhook(engine, job_id).summary == "not delivered yet, 1 attempt: the receiver answered 500"
    make_due(engine)
    assert deliverer.deliver_next()

    assert read_webhook(engine, job_id).delivered_at is not None
    answers = [take_callback(lower_names(headers), body, SECRET) for headers, body in receiver.messages]
    assert [status for status, _ in answers] == [200] * 4
    told = [read for _, read in answers]
    # Only the message that was not accepted is repeated; for the image outside any block there is none.
    assert [each["file_name"] for each in told] == ["one.png", "two.png", "two.png", "three.png"]
    assert {each["block_height"] for each in told} == {840000}
    assert [each["tx_id"] for each in told] == [f"{0:064x}", f"{1:064x}", f"{1:064x}", "unknown_three.png"]
    assert told[0]["scan_result"]["prediction"] == "clean"
    assert take_callback(lower_names(receiver.messages[0][0]), receiver.messages[0][1], "another")[0] == 401


def test_what_takes_long_to_tell_goes_on_in_another_turn(
    engine: Engine, deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.dispatching.deliverer.SHARE_S", 0.0)
    references = [f"file:///blocks/840000_00ab/images/{name}.png" for name in range(2)]
    options = JobOptions(webhook=receiver.url, webhook_kind=WebhookKind.STARGATE)
    job_id = submit_job(engine, references, options, submitter="ann").job_id
    finish_waiting_chunks(engine)

    assert deliverer.deliver_next()

    # Without any time nothing is sent, but this does not count as a failure.
    assert (receiver.messages, read_webhook(engine, job_id).attempts) == ([], 0)
    monkeypatch.setattr("producer.dispatching.deliverer.SHARE_S", 30.0)
    assert deliverer.deliver_next()
    assert len(receiver.messages) == 2
    assert read_webhook(engine, job_id).delivered_at is not None


def lower_names(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
