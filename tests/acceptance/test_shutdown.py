"""A worker that gets a signal to end in the middle of a chunk."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine

from producer.dispatching.dispatcher import Dispatcher
from storage.blobs import Blobs
from storage.dispatch import recover_lost_chunk
from storage.message_counts import RedisCounter
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.command import TIMEOUT_S, make_environment
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_pattern
from tests.kit.rows import claim_waiting_chunks, read_chunk_states
from worker.app import app

LONG_S = 3600


@pytest.fixture
def waiting_chunk(
    engine: Engine, configured: Settings, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A published chunk whose only image is in a slow object store."""
    digest = Blobs(object_store.url).put(encode_pattern("PNG"))
    submit_job(engine, [f"blob://{digest}/image.png"], submitter="ann")
    monkeypatch.setitem(app.conf, "broker_url", configured.redis_url)
    with redis.Redis.from_url(str(configured.redis_url)) as broker:
        Dispatcher(engine, RedisCounter(broker), configured).do_round()
    object_store.may_answer.clear()
    yield
    object_store.may_answer.set()


@pytest.mark.parametrize(
    ("grace_s", "signals"),
    [(0.1, [signal.SIGTERM]), (LONG_S, [signal.SIGINT, signal.SIGINT])],
    ids=["sigterm", "sigint twice"],
)
@pytest.mark.usefixtures("waiting_chunk")
def test_a_chunk_that_is_being_scanned_goes_back_and_nothing_is_lost(
    engine: Engine, configured: Settings, object_store: ObjectStore, grace_s: float, signals: list[signal.Signals]
) -> None:
    settings = {
        "database_url": configured.database_url, "redis_url": configured.redis_url, "lease_s": LONG_S,
        "blob_url": object_store.url, "shutdown_grace_s": grace_s,
    }  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", "cpu0"],
        env=make_environment(settings), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert object_store.asked.wait(TIMEOUT_S)
        assert read_chunk_states(engine) == ["running"]
        assert worker.stderr is not None
        for each in signals:
            worker.send_signal(each)
            # The next signal has its own effect only after this one was handled.
            assert any("running chunks" in line for line in worker.stderr)
        worker.wait(TIMEOUT_S)
    finally:
        worker.kill()
        worker.communicate()

    assert read_chunk_states(engine) == ["pending"]
    assert not recover_lost_chunk(engine, 3, 0.0)
    (again,) = claim_waiting_chunks(engine)
    assert again.losses == 0
