"""What operators are told: refusals, and the table of operations."""

import uuid
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from producer.cli.commands import operations as commands
from starlight_vocabulary.operations import Action, RequeueRequest
from storage.jobs import cancel_job
from storage.operations import OperationError, record_operation
from storage.requeueing import requeue_chunks
from tests.kit.rows import LEASE_S, submit_job_of


def test_chunks_of_a_job_that_is_not_open_cannot_be_sent_back(engine: Engine) -> None:
    ended = submit_job_of(engine, 8)
    cancel_job(engine, ended)

    for job_id in (ended, uuid.UUID(int=1)):
        with pytest.raises(OperationError, match=f"there is no open job {job_id}"):
            requeue_chunks(engine, RequeueRequest(job_id=job_id), "olga")


def test_the_columns_of_operations_lie_below_their_titles(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine.begin() as connection:
        for action in Action:
            record_operation(connection, "olga", action, "anything", 7)
    current = SimpleNamespace(engine=engine, settings=SimpleNamespace(lease_s=LEASE_S))
    monkeypatch.setattr(commands, "open_installation", lambda: nullcontext(current))

    commands.operations(limit=20)

    titles, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(Action)
    assert {row.index("anything") for row in rows} == {titles.index("SUBJECT")}
