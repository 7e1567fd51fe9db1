"""RabbitMQ as the message broker: by TLS too, and through lost messages, restarts and foreign messages."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import amqp
import pytest
import redis
from sqlalchemy import Engine

from monitoring.exporter import StarlightCollector
from producer.cli.doctor.check_results import Condition
from producer.cli.doctor.installation import check_messages
from producer.dispatching.dispatcher import Dispatcher, publish
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.dispatch import DispatchedChunk
from storage.message_counts import TIMEOUT_S, open_counter
from storage.rabbitmq import RabbitQueues
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.celery_broker import lead_application_to
from tests.kit.changes import wait_for_change
from tests.kit.programs import Program, run_program
from tests.kit.rabbitmq_servers import RabbitServer, serve_by_tls, serve_rabbitmq
from tests.kit.rows import execute, read_job
from tests.kit.threads import PATIENCE_S
from worker.app import app
from worker.chunks import NOTHING_TO_DO
from worker.task_shape import SCAN_CHUNK

CHUNK = "0bf0c0d4-5c3c-4b61-9d5e-6f0f8f3f1a55"
# Part of each foreign message; no log may contain it unescaped.
MARK = "\x1b[2Jevil"
# A name that is not UTF-8.
NO_TEXT: Any = b"\xff"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """One server for this module: each start takes seconds."""
    with serve_rabbitmq(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextmanager
def lead_to(url: str) -> Iterator[RabbitQueues]:
    """Make the application use this RabbitMQ within the block."""
    with lead_application_to(Settings(broker_url=url).broker_url or ""):
        yield RabbitQueues(url, TIMEOUT_S)


@pytest.fixture
def queues(server: RabbitServer) -> Iterator[RabbitQueues]:
    """Empty queues, which the application uses."""
    with lead_to(server.url) as queues:
        queues.count_messages()
        empty_queues()
        yield queues


def empty_queues() -> None:
    """Delete all messages."""
    with app.connection_for_write() as connection:
        channel: Any = connection.channel()
        for queue in ("scan.interactive", "scan.bulk"):
            channel.queue_purge(queue)


def make_chunk() -> DispatchedChunk:
    """Return a chunk that is in no database."""
    return DispatchedChunk(uuid.uuid4(), Priority.BULK, uuid.uuid4(), 1, None)


def send_and_receive(queues: RabbitQueues) -> None:
    """Send a chunk's id like a dispatcher, and receive it like a worker."""
    chunk = make_chunk()
    publish([chunk])
    assert queues.count_messages() == {"scan.interactive": 0, "scan.bulk": 1}

    with app.connection_for_read() as connection, connection.SimpleQueue("scan.bulk") as queue:
        message = queue.get(timeout=PATIENCE_S)
        message.ack()
    assert message.payload[0] == [str(chunk.chunk_id)]
    assert sum(queues.count_messages().values()) == 0


def test_messages_go_by_tls_and_to_no_server_of_another_certificate(tmp_path: Path) -> None:
    with serve_by_tls(tmp_path) as url:
        with lead_to(url) as queues:
            send_and_receive(queues)

        with lead_to(url.partition("?")[0]) as queues:
            with pytest.raises(ConnectionError, match="CERTIFICATE"):
                queues.count_messages()
            with pytest.raises(OSError, match="CERTIFICATE"), app.connection_for_write() as connection:
                connection.connect()


def test_a_wrong_password_is_an_error_that_does_not_quote_it(server: RabbitServer) -> None:
    wrong = server.url.replace("nobody", "somebody")
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED") as refusal:
        RabbitQueues(wrong, TIMEOUT_S).count_messages()
    assert "somebody" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["amqp://ann:secret@host:x/", "amqp://ann:secret@host/?verify=none", "amqp://:a/secret@h"]
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="write special characters") as refusal:
        Settings(broker_url=url)
    assert "secret" not in str(refusal.value)


def test_a_lost_message_is_published_again_and_one_that_waits_is_not(
    engine: Engine, configured: Settings, queues: RabbitQueues
) -> None:
    dispatcher = Dispatcher(engine, queues, configured.model_copy(update={"republish_after_s": 1e-6}))
    submit_job(engine, ["file:///nothing"], submitter="ann")
    for _ in range(3):
        dispatcher.do_round()
    assert queues.count_messages()["scan.bulk"] == 1

    empty_queues()
    dispatcher.do_round()

    assert queues.count_messages()["scan.bulk"] == 1


def test_a_message_beside_a_running_chunk_does_not_count_as_lost(
    engine: Engine, configured: Settings, queues: RabbitQueues
) -> None:
    dispatcher = Dispatcher(engine, queues, configured.model_copy(update={"republish_after_s": 1e-6}))
    submit_job(engine, ["file:///nothing", "file:///nowhere"], submitter="ann", chunk_size=1)
    dispatcher.do_round()
    # A worker holds both messages: it scans one chunk, and the other waits for its turn there.
    empty_queues()
    execute(engine, "UPDATE chunks SET state = 'running', lease_until = now() + interval '1 h' WHERE first_ordinal = 0")

    dispatcher.do_round()

    assert sum(queues.count_messages().values()) == 0


@pytest.fixture
def worker(server: RabbitServer, queues: RabbitQueues, configured: Settings) -> Iterator[Program]:
    """A worker that gets its messages from RabbitMQ."""
    with run_program("-m", "worker", "cpu0", settings=list_addresses(server, configured), until=" ready.") as running:
        yield running


def list_addresses(server: RabbitServer, configured: Settings) -> dict[str, object]:
    """Return the settings of a program that uses RabbitMQ."""
    return {
        "database_url": configured.database_url, "redis_url": configured.redis_url, "broker_url": server.url,
        "data_dir": configured.data_dir, "reuse": False,
    }  # fmt: skip


def test_a_job_survives_a_restart_of_rabbitmq(
    engine: Engine, configured: Settings, server: RabbitServer, worker: Program
) -> None:
    settings = {**list_addresses(server, configured), "dispatch_window": 4}
    with run_program("-m", "producer.cli", "dispatcher", settings=settings, until=None):
        job_id = submit_job(engine, ["file:///nothing"] * 60, submitter="ann", chunk_size=1).job_id
        wait_for_change(engine, "jobs", lambda: read_job(engine, job_id).finished >= 5)

        server.stop()
        server.start()

        wait_for_change(engine, "jobs", lambda: read_job(engine, job_id).finished == 60)
    assert next(audit_jobs(engine, [job_id])).exact
    assert worker.process.is_alive()


def send(
    body: bytes, headers: object, properties: dict[str, Any], *, queue: str = "scan.bulk", exchange: str = ""
) -> None:
    """Send a message as it is."""
    with app.connection_for_write() as connection:
        channel: Any = connection.channel()
        message = amqp.Message(body, application_headers=headers, **properties)
        channel.basic_publish(message, exchange=exchange, routing_key=queue)


HEADERS: dict[str, object] = {"task": SCAN_CHUNK, "id": str(uuid.uuid4()), "lang": "py", "argsrepr": MARK}
JSON: dict[str, object] = {"content_type": "application/json", "content_encoding": "utf-8"}
BODY = json.dumps([[CHUNK], {}, {}]).encode()
FOREIGN: dict[str, tuple[bytes, object, dict[str, object]]] = {
    "no JSON": (MARK.encode(), HEADERS, JSON),
    "no text": (b"\xff\xfe\x00", HEADERS, JSON),
    "nothing": (b"", None, {}),
    "nested lists": (b"[" * 10_000, HEADERS, JSON),
    "no type": (BODY, HEADERS, {}),
    "pickle": (BODY, HEADERS, {"content_type": "application/x-python-serialize"}),
    "an encoding that is none": (BODY, HEADERS, JSON | {"content_encoding": MARK}),
    "an encoding that is no text": (BODY, HEADERS, JSON | {"content_encoding": "zlib_codec"}),
    "no headers": (BODY, None, JSON),
    "an unknown task": (BODY, HEADERS | {"task": MARK}, JSON),
    "an id that is none": (BODY, HEADERS | {"id": {"a": MARK}}, JSON),
    "a header that is no JSON": (BODY, HEADERS | {"more": datetime(2026, 1, 1, tzinfo=UTC)}, JSON),
    "two arguments": (json.dumps([[CHUNK, MARK], {}, {}]).encode(), HEADERS, JSON),
    "a callback": (json.dumps([[CHUNK], {}, {"chain": [5]}]).encode(), HEADERS, JSON),
    "a huge one": (b"[" + b"a" * 8 * 2**20, HEADERS, JSON),
}


def test_foreign_messages_are_dropped_and_the_worker_goes_on(worker: Program, queues: RabbitQueues) -> None:
    line = "which is not ours: "
    for place, (name, (body, headers, properties)) in enumerate(FOREIGN.items()):
        send(body, headers, properties)
        worker.log.wait_for_count(line, place + 1)
        assert worker.log.count(f"dropped a message of {len(body):,} bytes") > 0, name

    for command in (MARK.encode(), b"[" * 10_000, b"5", b"[]"):
        before = worker.log.count("dropped a broadcast of ")
        send(command, {}, JSON, queue="", exchange="celery.pidbox")
        worker.log.wait_for_count("dropped a broadcast of ", before + 1)

    before = worker.log.count(f"{NOTHING_TO_DO}  chunk={CHUNK}")
    send(
        BODY,
        HEADERS | {"eta": MARK, "expires": MARK, "stamps": MARK},
        JSON | {"reply_to": MARK, "expiration": "100000"},
    )
    worker.log.wait_for_count(f"{NOTHING_TO_DO}  chunk={CHUNK}", before + 1)
    assert app.control.ping(timeout=PATIENCE_S, limit=1)
    assert worker.process.is_alive()
    assert [worker.log.count(each) for each in ("\x1b", "evil", "Traceback")] == [0, 0, 0]
    assert sum(queues.count_messages().values()) == 0


def test_messages_that_the_library_cannot_read_are_dropped(worker: Program, queues: RabbitQueues) -> None:
    nested: object = MARK
    for _ in range(6_000):
        nested = {"a": nested}
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        send(BODY, HEADERS | {"more": nested}, JSON)
    finally:
        sys.setrecursionlimit(limit)
    send(BODY, HEADERS, JSON | {"content_type": NO_TEXT})
    with app.connection_for_write() as connection:
        channel: Any = connection.channel()
        channel.exchange_declare("everything", "fanout", auto_delete=True)
        channel.queue_bind("scan.bulk", "everything")
    send(BODY, HEADERS, JSON, queue=NO_TEXT, exchange="everything")

    worker.log.wait_for_count(f"dropped a message of {len(BODY)} bytes, which is not ours: ", 3)
    send(BODY, HEADERS, JSON)
    worker.log.wait_for_count(f"{NOTHING_TO_DO}  chunk={CHUNK}", 1)
    assert worker.process.is_alive()
    assert [worker.log.count(each) for each in ("\x1b", "evil", "Traceback")] == [0, 0, 0]
    assert sum(queues.count_messages().values()) == 0


def test_what_waits_is_counted_for_operators(queues: RabbitQueues, redis_url: str) -> None:
    for _ in range(3):
        publish([make_chunk()])

    found = check_messages(queues)
    assert (found.condition, found.seen) == (Condition.WELL, "3 messages wait in RabbitMQ")
    with redis.Redis.from_url(redis_url) as client:
        assert check_messages(open_counter(None, client)).seen == "0 messages wait in Redis, 0 are with workers"
    assert check_messages(RabbitQueues("amqp://127.0.0.1:9//", TIMEOUT_S)).condition is Condition.WRONG


def test_metrics_show_rabbitmq_beside_redis(
    engine: Engine, configured: Settings, queues: RabbitQueues, redis_url: str
) -> None:
    publish([make_chunk()])
    absent = RabbitQueues("amqp://127.0.0.1:9//", TIMEOUT_S)
    with redis.Redis.from_url(redis_url) as client:
        found, lost = (
            {
                (sample.name, sample.labels.get("queue")): sample.value
                for metric in StarlightCollector(engine, client, counter, configured).collect()
                for sample in metric.samples
            }
            for counter in (queues, absent)
        )

    assert (found["starlight_rabbitmq_up", None], found["starlight_redis_up", None]) == (1, 1)
    assert (found["starlight_messages", "scan.bulk"], found["starlight_messages", "scan.interactive"]) == (1, 0)
    assert (lost["starlight_rabbitmq_up", None], lost["starlight_redis_up", None]) == (0, 1)
    assert ("starlight_messages", "scan.bulk") not in lost
