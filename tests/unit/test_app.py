"""The configuration of the Celery application."""

from pathlib import Path

import pytest
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps, loads

from starlight_vocabulary.words import ErrorCode
from storage.broker import QUEUES
from worker.app import app

ROOT = Path(__file__).parents[2]


def test_messages_are_json_and_nothing_else_is_read() -> None:
    assert app.conf.task_serializer == "json"
    assert app.conf.accept_content == ["json"]

    content_type, encoding, payload = dumps({"a": 1}, "pickle")
    with pytest.raises(ContentDisallowed):
        loads(payload, content_type, encoding, accept=app.conf.accept_content)


def test_a_message_is_acknowledged_after_its_chunk_is_stored_and_workers_hoard_none() -> None:
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.task_ignore_result


def test_interactive_chunks_come_first() -> None:
    assert QUEUES == ("scan.interactive", "scan.bulk")
    assert [queue.name for queue in app.conf.task_queues] == list(QUEUES)
    assert app.conf.broker_transport_options["queue_order_strategy"] == "priority"


def test_every_error_code_is_explained_in_the_docs() -> None:
    documented = (ROOT / "docs" / "design.md").read_text()

    for code in ErrorCode:
        assert f"| `{code}` | {code.explanation} |" in documented
