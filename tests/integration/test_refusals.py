"""Servers that answer with refusals: processes wait and continue, and commands print the reason."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from sqlalchemy import Engine, text

from producer.dispatching.dispatcher import Dispatcher, publish
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.dispatch import DispatchedChunk
from storage.jobs import list_jobs
from storage.message_counts import RedisCounter
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.command import STARLIGHT, make_environment
from tests.kit.outages import OutageLog, record_outages
from tests.kit.rows import execute, pick_ids, read_job, submit_job_of
from tests.kit.threads import PATIENCE_S
from tests.kit.worker_process import run_worker_process
from worker.app import app
from worker.process import WorkerProcess

# Disk full, out of memory, too many connections, starting up, and read-only after a failover.
REFUSALS = ("53100", "53200", "53300", "57P03", "25006")


def refuse(engine: Engine, table: str, sqlstate: str) -> None:
    """Make the database refuse commits of transactions that change the table."""
    execute(
        engine,
        f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$;
            CREATE CONSTRAINT TRIGGER refusal AFTER INSERT OR UPDATE ON {table}
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
        """,
    )


def relent(engine: Engine) -> None:
    """End the refusals."""
    execute(engine, "DROP FUNCTION refuse() CASCADE")


@pytest.fixture
def log() -> Iterator[OutageLog]:
    with record_outages() as log:
        yield log


@pytest.fixture
def process(engine: Engine, configured: Settings) -> Iterator[WorkerProcess]:
    with run_worker_process(engine, configured) as process:
        yield process


@pytest.mark.parametrize("table", ["chunks", "verdicts"])
@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_a_worker_waits_until_the_database_takes_what_it_has(
    engine: Engine, process: WorkerProcess, log: OutageLog, table: str, sqlstate: str
) -> None:
    job_id = submit_job(engine, ["file:///nothing", "file:///nowhere"], submitter="ann").job_id
    (chunk,) = pick_ids(engine, Priority.BULK, 10)
    refuse(engine, table, sqlstate)

    with ThreadPoolExecutor() as pool:
        scanned = pool.submit(process.scan_chunk, chunk)
        try:
            assert log.waits.wait(PATIENCE_S)
            assert read_job(engine, job_id).finished == 0
        finally:
            relent(engine)
        assert scanned.result(PATIENCE_S) == "2 images: 2 error"

    assert next(audit_jobs(engine, [job_id])).exact
    with engine.connect() as connection:
        assert connection.execute(text("SELECT attempt, losses FROM chunks")).one() == (1, 0)
    assert [line.split(":")[0] for line in log.lines[:1]] == ["PostgreSQL does not do its work; waiting until it does"]
    assert [line.startswith("PostgreSQL works again") for line in log.lines] == [False, True]


class EnoughError(Exception):
    """Raised to end a dispatcher, which would run for ever."""


def publish_once(chunks: Sequence[DispatchedChunk]) -> None:
    publish(chunks)
    raise EnoughError


@pytest.fixture
def broker(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    monkeypatch.setitem(app.conf, "broker_url", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def dispatcher(engine: Engine, broker: "redis.Redis", configured: Settings) -> Dispatcher:
    quick = {"dispatch_interval_s": 0.05, "republish_after_s": 0.001}
    return Dispatcher(engine, RedisCounter(broker), configured.model_copy(update=quick), publish_once)


def test_the_dispatcher_waits_until_the_database_can_be_written(
    engine: Engine, dispatcher: Dispatcher, broker: "redis.Redis", log: OutageLog
) -> None:
    submit_job_of(engine, 1)
    refuse(engine, "chunks", "53100")

    with ThreadPoolExecutor() as pool:
        running = pool.submit(dispatcher.run)
        assert log.waits.wait(PATIENCE_S)
        relent(engine)
        assert isinstance(running.exception(PATIENCE_S), EnoughError)

    assert broker.llen("scan.bulk") == 1
    assert log.lines[0].startswith("PostgreSQL does not do its work; waiting until it does: not now")


def out_of_memory(broker: "redis.Redis") -> Callable[[], object]:
    before = str(broker.config_get("maxmemory")["maxmemory"])
    broker.config_set("maxmemory", 1)
    return lambda: broker.config_set("maxmemory", before)


def read_only(broker: "redis.Redis") -> Callable[[], object]:
    broker.replicaof("127.0.0.1", 1)
    return lambda: broker.replicaof("NO", "ONE")


@pytest.mark.parametrize("trouble", [out_of_memory, read_only])
def test_the_dispatcher_waits_until_redis_takes_messages(
    engine: Engine,
    dispatcher: Dispatcher,
    broker: "redis.Redis",
    log: OutageLog,
    trouble: Callable[["redis.Redis"], Callable[[], object]],
) -> None:
    submit_job_of(engine, 1)
    relieve = trouble(broker)

    with ThreadPoolExecutor() as pool:
        try:
            running = pool.submit(dispatcher.run)
            assert log.waits.wait(PATIENCE_S)
        finally:
            relieve()
        assert isinstance(running.exception(PATIENCE_S), EnoughError)

    assert broker.llen("scan.bulk") == 1
    assert log.lines[0].startswith("Redis does not do its work; waiting until it does: ")
    assert len(log.lines) == 2


def test_a_million_waiting_images_take_no_room_in_redis(
    engine: Engine, broker: "redis.Redis", configured: Settings
) -> None:
    dispatcher = Dispatcher(engine, RedisCounter(broker), configured)
    before = broker.info("memory")["used_memory"]
    submit_job_of(engine, 1_000_000, chunk_size=64)

    for _ in range(3):
        dispatcher.do_round()

    assert broker.llen("scan.bulk") == configured.dispatch_window
    assert broker.info("memory")["used_memory"] - before < 2**20


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_a_submission_that_is_not_stored_says_so(engine: Engine, configured: Settings, sqlstate: str) -> None:
    refuse(engine, "jobs", sqlstate)
    addresses = {"database_url": configured.database_url, "redis_url": configured.redis_url}

    run = subprocess.run(
        [*STARLIGHT, "submit", sys.executable],
        env=make_environment(addresses), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("starlight: database error: not now")
    assert "Traceback" not in run.stderr
    assert list_jobs(engine) == []
