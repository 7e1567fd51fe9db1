"""Messages in Redis that are not tasks: they are logged once and dropped, and nothing else is lost or stopped."""

import base64
import json
import pickle
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from producer.dispatching.dispatcher import publish
from starlight_vocabulary.words import Priority
from storage.audits import audit_jobs
from storage.broker import DELIVERED_AT, QUEUES, UNACKNOWLEDGED, count_messages
from storage.database import connect
from storage.dispatch import pick_chunks
from storage.submission import submit_job
from tests.kit.changes import wait_for_change
from tests.kit.databases import copy_database
from tests.kit.output import Output
from tests.kit.programs import run_program
from tests.kit.rows import read_job
from tests.kit.threads import PATIENCE_S
from worker.app import app, name_transport
from worker.chunks import NOTHING_TO_DO
from worker.task_shape import SCAN_CHUNK

CHUNK = "0bf0c0d4-5c3c-4b61-9d5e-6f0f8f3f1a55"
# Part of each message; no log may contain it unescaped.
MARK = "\x1b[2Jevil"


@dataclass(frozen=True)
class AttackedWorker:
    """A worker's process, its log, and its servers."""

    process: BaseProcess
    log: Output
    engine: Engine
    broker: "redis.Redis"


@pytest.fixture(scope="module")
def worker(session_servers: tuple[str, str]) -> Iterator[AttackedWorker]:
    """One worker for all attacks, since it must survive them."""
    database, redis_url = session_servers
    with copy_database(database) as database_url, redis.Redis.from_url(redis_url) as broker:
        broker.flushall()
        settings = {"database_url": database_url, "redis_url": redis_url, "reuse": False}
        with run_program("-m", "worker", "cpu0", settings=settings, until=" ready.") as running:
            engine = connect(database_url)
            yield AttackedWorker(running.process, running.log, engine, broker)
            engine.dispose()
        assert sum(count_messages(broker).values()) == 0


def write_message(
    body: Any = ((CHUNK,), {}, {}), *, headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a message as Celery writes it, with these changes; a body that is not bytes is converted to JSON."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "body": base64.b64encode(encoded).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": SCAN_CHUNK, "id": str(uuid.uuid4()), "lang": "py", "argsrepr": MARK} | (headers or {}),
        "properties": {
            "delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": "scan.bulk"},
            "body_encoding": "base64", "priority": 0,
        } | (properties or {}),
    }  # fmt: skip


class Bomb:
    """An object that would end the process when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("import os; os._exit(66)",)


# Fields that Celery itself may write: they are ignored like any other field.
LEFT_OUT: dict[str, Any] = {
    "a time": write_message(headers={"eta": MARK}),
    "an end": write_message(headers={"expires": MARK}),
    "limits of time": write_message(headers={"timelimit": MARK}),
    "a compression": write_message(headers={"compression": MARK}),
    "another name": write_message(headers={"shadow": MARK}),
    "stamps": write_message(headers={"stamps": MARK, "stamped_headers": 5}),
    "a place for results": write_message(properties={"reply_to": MARK, "correlation_id": [MARK]}),
}
MESSAGES: dict[str, Any] = {
    "no JSON": MARK,
    "no text": b"\xff\xfe\x00",
    "nothing": "",
    "a number": 5,
    "a list": [],
    "an empty object": {},
    "nested lists": "[" * 10_000,
    "a type that a decoder knows": '{"__type__": "uuid", "__value__": 5}',
    "no properties": {"body": MARK, "headers": {}},
    "properties that are none": {"body": MARK, "properties": 5},
    "no delivery": write_message(properties={"delivery_info": None}),
    "another queue's": write_message(properties={"delivery_info": {"exchange": "", "routing_key": MARK}}),
    "no Base64": write_message() | {"body": "a" + MARK},
    "an encoding that is none": write_message(properties={"body_encoding": MARK}),
    "a body that is no JSON": write_message(MARK.encode()),
    "a body that is no list": write_message({"args": [MARK]}),
    "a task of protocol 1": write_message({"task": SCAN_CHUNK, "id": CHUNK, "args": [MARK], "kwargs": {}}, headers={}),
    "two arguments": write_message([[CHUNK, MARK], {}, {}]),
    "no argument": write_message([[], {}, {}]),
    "an argument that is no chunk": write_message([[MARK], {}, {}]),
    "an argument by name": write_message([[], {"chunk_id": CHUNK}, {}]),
    "a callback": write_message([[CHUNK], {}, {"callbacks": [{"task": SCAN_CHUNK, "args": [CHUNK]}]}]),
    "a chain that is none": write_message([[CHUNK], {}, {"chain": 5}]),
    "no headers": write_message(headers={}) | {"headers": None},
    "an unknown task": write_message(headers={"task": MARK}),
    "an id that is none": write_message(headers={"id": {"a": MARK}}),
    "pickle": write_message(pickle.dumps(Bomb())) | {"content-type": "application/x-python-serialize"},
    "pickle in place of JSON": write_message(pickle.dumps(Bomb())),
    "an unknown type": write_message() | {"content-type": MARK},
    "an unknown alphabet": write_message() | {"content-encoding": MARK},
    "a huge one": "a" * 8 * 2**20,
    "a huge argument": write_message([["a" * 2**20], {}, {}]),
}


def write(message: Any) -> bytes:
    """Return the message in the form in which it is stored in Redis."""
    if isinstance(message, bytes):
        return message
    return (message if isinstance(message, str) else json.dumps(message)).encode()


def assert_well(worker: AttackedWorker) -> None:
    """Check that the worker runs, that Redis is empty, and that the log contains nothing of the messages."""
    assert worker.process.is_alive()
    assert [worker.broker.llen(queue) for queue in QUEUES] == [0, 0]
    assert [worker.log.count(each) for each in ("\x1b", "evil", "Traceback")] == [0, 0, 0]


def scan_one(worker: AttackedWorker) -> None:
    """Have the worker scan a chunk; return when its verdict is stored."""
    job_id = submit_job(worker.engine, ["file:///nothing"], submitter="ann").job_id
    (chunk,) = pick_chunks(worker.engine, Priority.BULK, 10)
    publish([chunk])
    wait_for_change(worker.engine, "jobs", lambda: read_job(worker.engine, job_id).finished == 1)
    assert next(audit_jobs(worker.engine, [job_id])).exact


@pytest.fixture(autouse=True)
def published_there(monkeypatch: pytest.MonkeyPatch, session_servers: tuple[str, str]) -> None:
    monkeypatch.setitem(app.conf, "broker_url", session_servers[1])


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_that_is_no_task_is_dropped(worker: AttackedWorker, message: Any) -> None:
    raw = write(message)
    line = f"dropped a message of {len(raw):,} bytes from scan.bulk, which is not ours: "
    before = worker.log.count(line)

    worker.broker.lpush("scan.bulk", raw)

    worker.log.wait_for_count(line, before + 1)
    scan_one(worker)
    assert_well(worker)


@pytest.mark.parametrize("message", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_beside_a_task_is_left_out(worker: AttackedWorker, message: Any) -> None:
    line = f"{NOTHING_TO_DO}  chunk={CHUNK}"
    before = worker.log.count(line)

    worker.broker.lpush("scan.interactive", write(message))

    worker.log.wait_for_count(line, before + 1)
    scan_one(worker)
    assert_well(worker)


@pytest.mark.parametrize(
    "message", [MARK, "[" * 10_000, "5", "[]", "{}", '{"__type__": "uuid", "__value__": 5}', '{"properties": 5}']
)
def test_a_broadcast_that_is_none_is_dropped(worker: AttackedWorker, message: str) -> None:
    line = f"dropped a broadcast of {len(message):,} bytes, which is not ours: "
    before = worker.log.count(line)

    worker.broker.publish("/0.celery.pidbox", message)

    worker.log.wait_for_count(line, before + 1)
    scan_one(worker)
    assert_well(worker)
    assert app.control.ping(timeout=PATIENCE_S, limit=1)


@pytest.mark.parametrize("kept", [b"\xff", b"5", b"{}", b'[5, "", ""]', b'[{"headers": 5}, "", "scan.bulk"]'])
def test_an_unacknowledged_message_that_is_none_is_dropped(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kept: bytes
) -> None:
    monkeypatch.setitem(app.conf, "broker_transport", name_transport(None))
    with redis.Redis.from_url(redis_url) as broker, app.connection_for_read() as connection:
        broker.hset(UNACKNOWLEDGED, "tag", kept)
        broker.zadd("unacked_index", {"tag": 1})

        channel: Any = connection.channel()
        channel.qos.restore_visible()

        assert broker.exists(UNACKNOWLEDGED, "unacked_index") == 0
    (line,) = caplog.messages
    assert line.startswith(f"dropped an unacknowledged message of {len(kept)} bytes, which is not ours: ")


@pytest.mark.parametrize("name", QUEUES)
def test_a_key_of_another_kind_in_place_of_a_queue_is_dropped(worker: AttackedWorker, name: str) -> None:
    worker.broker.delete(name)

    worker.broker.set(name, MARK)

    worker.log.wait_for(f"deleted the Redis key {name}, which is not ours: it is a string instead of a list")
    scan_one(worker)
    assert_well(worker)


@pytest.mark.parametrize("name", [UNACKNOWLEDGED, DELIVERED_AT])
def test_a_key_of_another_kind_in_place_of_what_is_delivered_is_dropped(worker: AttackedWorker, name: str) -> None:
    worker.broker.delete(name)
    worker.broker.set(name, MARK)

    scan_one(worker)

    worker.log.wait_for(f"deleted the Redis key {name}, which is not ours: it is a string instead of a ")
    assert_well(worker)


@pytest.mark.parametrize("name", [UNACKNOWLEDGED, DELIVERED_AT, "_kombu.binding.somewhere"])
def test_a_key_of_another_kind_keeps_no_worker_from_starting(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setitem(app.conf, "broker_transport", name_transport(None))
    with redis.Redis.from_url(redis_url) as broker, app.connection_for_read() as connection:
        broker.zadd(DELIVERED_AT, {"tag": 1})
        broker.delete(name)
        broker.set(name, MARK)

        channel: Any = connection.channel()
        channel.qos.restore_visible()
        channel.exchange_declare("somewhere", "direct")
        channel.queue_bind("queue", "somewhere", "queue")

        assert broker.type(name) != b"string"
    (line,) = caplog.messages
    assert line.startswith(f"deleted the Redis key {name}, which is not ours: it is a string instead of a ")
