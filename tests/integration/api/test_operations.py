"""Operations through the API: with the client, and for admins only."""

import httpx
import pytest
from sqlalchemy import Engine

from starlight_client import PauseSubject, Priority, RefusedError, RequeueRequest, Starlight
from starlight_vocabulary.operations import Action
from storage.keys import create_key
from storage.workers import list_live_workers, report_worker
from tests.kit.api import Api, read_problem
from tests.kit.rows import claim_waiting_chunks, read_chunk_states, read_job, register_v4, submit_job_of

REQUESTS = [
    ("GET", "/v1/pauses"), ("POST", "/v1/pauses"), ("DELETE", "/v1/pauses/1"), ("POST", "/v1/workers/drain"),
    ("DELETE", "/v1/workers/drain"), ("POST", "/v1/workers/cpu0@here/drain"), ("DELETE", "/v1/workers/cpu0@here/drain"),
    ("POST", "/v1/requeue"), ("PUT", "/v1/jobs/00000000-0000-7000-8000-000000000000/priority"),
    ("GET", "/v1/operations"),
]  # fmt: skip


@pytest.fixture
def olga(address: str, engine: Engine) -> Starlight:
    """The client of an operator."""
    return Starlight(address, create_key(engine, "olga", ["admin"]))


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_they_are_for_admins_alone(api: Api, engine: Engine, method: str, path: str) -> None:
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))

    document = {"priority": "bulk"} if path.endswith("priority") else {}
    answer = api.connect_as("ann").request(method, path, json=document if method in ("POST", "PUT") else None)

    assert "admin" in str(read_problem(answer, 403)["detail"])


def test_an_operator_pauses_and_resumes(olga: Starlight, engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)

    pause = olga.pause(PauseSubject(job_id=job_id))

    assert olga.pauses() == [pause]
    assert (pause.subject, pause.paused_by) == (PauseSubject(job_id=job_id), "olga")
    assert claim_waiting_chunks(engine) == []
    olga.resume(pause.id)
    assert olga.pauses() == []
    assert len(claim_waiting_chunks(engine)) == 1
    assert [(each.done_by, each.action) for each in olga.operations(2)] == [
        ("olga", Action.RESUME), ("olga", Action.PAUSE)
    ]  # fmt: skip


def test_an_operator_drains_workers(olga: Starlight, engine: Engine) -> None:
    for name in ("cpu0@here", "cpu1@here"):
        report_worker(engine, name, name[:4], register_v4(engine))

    assert olga.drain("cpu0@here") == ["cpu0@here"]
    assert olga.drain(None) == ["cpu1@here"]
    assert [each.draining for each in olga.statistics().workers] == [True, True]
    assert olga.undrain("cpu1@here") == ["cpu1@here"]
    assert [each.draining for each in list_live_workers(engine, 60)] == [True, False]
    assert olga.undrain(None) == ["cpu0@here"]
    with pytest.raises(RefusedError, match=r"404 .*no worker cpu9@here is alive; live workers: cpu0@here, cpu1@here"):
        olga.drain("cpu9@here")


def test_an_operator_sends_chunks_back_and_changes_priorities(olga: Starlight, engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)
    claim_waiting_chunks(engine)

    assert olga.change_priority(job_id, Priority.INTERACTIVE).priority is Priority.INTERACTIVE
    assert olga.requeue(RequeueRequest(worker="cpu0@here")) == 2

    assert read_job(engine, job_id).priority is Priority.INTERACTIVE
    assert read_chunk_states(engine) == ["pending"] * 2
    assert olga.requeue(RequeueRequest()) == 0


@pytest.mark.parametrize(("path", "document", "status"), [
    ("/v1/pauses", {"submitter": "ann", "priority": "bulk"}, 409),
    ("/v1/pauses", {"job_id": "00000000-0000-7000-8000-000000000000"}, 409),
    ("/v1/pauses", {"everything": True}, 422),
    ("/v1/requeue", {"worker": "x", "job_id": "00000000-0000-7000-8000-000000000000"}, 409),
    ("/v1/requeue", {"worker": "cpu9@here"}, 409),
    ("/v1/requeue", {"job_id": "00000000-0000-7000-8000-000000000000"}, 409),
])  # fmt: skip
def test_what_cannot_be_done_is_a_problem(api: Api, path: str, document: dict[str, object], status: int) -> None:
    answer: httpx.Response = api.connect_as("olga", "admin").post(path, json=document)

    read_problem(answer, status)
