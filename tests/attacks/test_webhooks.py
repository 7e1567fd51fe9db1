"""Receivers of webhooks that make us wait: each delays only the webhooks of its submitter."""

import uuid
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from producer.dispatching import deliverer as deliverer_module
from producer.dispatching.deliverer import AT_ONCE, Deliverer
from starlight_vocabulary.job import JobOptions
from storage.jobs import cancel_job
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.changes import wait_for_change
from tests.kit.image_server import ImageServer, serve_images
from tests.kit.receiver import SECRET
from tests.kit.rows import read_webhook
from tests.kit.tardy_server import TardyServer

FOR_EVER_S = 3600.0
# More than one submitter has delivered at once.
THIS_MACHINE = [
    "127.0.0.1", "localhost", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.1", "017700000001",
    "0177.1",
]  # fmt: skip


@pytest.fixture
def prompt() -> Iterator[ImageServer]:
    """A receiver that answers every webhook immediately with 501."""
    with serve_images() as server:
        yield server


@pytest.fixture
def deliverer(engine: Engine, configured: Settings) -> Deliverer:
    settings = {"webhook_secret": SecretStr(SECRET), "fetch_allowed_networks": (ip_network("127.0.0.0/8"),)}
    return Deliverer(engine, configured.model_copy(update=settings))


def end_job(engine: Engine, submitter: str, url: str) -> uuid.UUID:
    """End a job with this webhook; return its id."""
    job_id = submit_job(engine, ["file:///one"], JobOptions(webhook=url), submitter=submitter).job_id
    cancel_job(engine, job_id)
    return job_id


def await_attempt(engine: Engine, job_id: uuid.UUID) -> str:
    """Return why the first attempt failed, as soon as there was one."""
    wait_for_change(engine, "webhooks", lambda: read_webhook(engine, job_id).last_error is not None)
    return str(read_webhook(engine, job_id).last_error)


@pytest.mark.parametrize("manner", ["silent", "head", "headers", "continue"])
def test_no_manner_of_keeping_us_waiting_outlasts_the_deadline(
    engine: Engine, deliverer: Deliverer, tardy: TardyServer, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    monkeypatch.setattr(deliverer_module, "TIMEOUT_S", 0.5)
    job_id = end_job(engine, "mallory", tardy.refer_to(manner))

    assert deliverer.deliver_next()

    assert read_webhook(engine, job_id).last_error == "DeadlineError: more than 0.5 s"


def test_receivers_that_hang_keep_no_other_submitters_webhook_waiting(
    engine: Engine, deliverer: Deliverer, tardy: TardyServer, prompt: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer_module, "TIMEOUT_S", FOR_EVER_S)
    assert len(THIS_MACHINE) > AT_ONCE // 2
    for host in THIS_MACHINE:
        end_job(engine, "mallory", tardy.refer_to("silent").replace("127.0.0.1", host))
    with deliverer:
        try:
            tardy.await_asked(AT_ONCE // 2)
            job_id = end_job(engine, "ann", prompt.refer_to("/hook"))
            told = await_attempt(engine, job_id)
            hanging = not tardy.left.acquire(blocking=False)
        finally:
            tardy.ending.set()

    assert told == "the receiver answered 501"
    assert hanging


def test_a_receiver_is_told_one_thing_at_a_time(
    engine: Engine, deliverer: Deliverer, tardy: TardyServer, prompt: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer_module, "TIMEOUT_S", FOR_EVER_S)
    for _ in range(AT_ONCE):
        end_job(engine, "mallory", tardy.refer_to("silent"))
    with deliverer:
        try:
            tardy.await_asked()
            told = await_attempt(engine, end_job(engine, "mallory", prompt.refer_to("/hook")))
            asked_again = tardy.asked.acquire(blocking=False)
        finally:
            tardy.ending.set()

    assert told == "the receiver answered 501"
    assert not asked_again
