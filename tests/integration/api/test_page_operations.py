"""The operations page: for admins only, with the operations of the commands and the API."""

import httpx
import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome, Scope
from storage.keys import create_key, find_key
from storage.operations import list_operations
from storage.pauses import list_pauses
from storage.submission import submit_job
from storage.workers import list_live_workers, report_worker
from tests.kit.api import Api
from tests.kit.page import open_browser, read_page, sign_in_as
from tests.kit.rows import execute, finish_waiting_chunks, read_webhook, register_v4, submit_job_of

PAGE = "/page/operations"
FORMS = {
    "drain": {"draining": "true"}, "pause": {}, "resume": {"pause_id": "1"},
    "retry": {"job": "00000000-0000-7000-8000-000000000000", "code": "empty"},
    "keys": {"name": "x", "scope": "admin", "own": "y"}, "keys/revoke": {"name": "ann"},
    "redeliver": {"job": "00000000-0000-7000-8000-000000000000"},
}  # fmt: skip


@pytest.fixture
def own_key(engine: Engine) -> str:
    """The key of an operator."""
    return create_key(engine, "olga", ["admin"])


@pytest.fixture
def browser(api: Api, own_key: str) -> TestClient:
    """A browser that is signed in as an operator."""
    browser = open_browser(api)
    assert browser.post("/page/sign-in", data={"key": own_key}).status_code == 303
    return browser


def send(browser: TestClient, form: str, **fields: object) -> httpx.Response:
    answer: httpx.Response = browser.post(f"{PAGE}/{form}", data=fields)
    return answer


def read_table(browser: TestClient, name: str) -> list[list[str]]:
    return read_page(browser.get(PAGE)).find("table", class_=name).read_rows()


def test_for_others_it_is_not_there(api: Api, engine: Engine) -> None:
    browser = sign_in_as(api, "ann", "submit", "read")

    assert read_page(browser.get(PAGE), 404).find("nav").find_all("a", href=PAGE) == []
    for form, fields in FORMS.items():
        assert browser.post(f"{PAGE}/{form}", data=fields).status_code == 404, form
    assert list_operations(engine, 10) == []
    assert read_page(sign_in_as(api, "root", "admin").get("/")).find("nav").find_all("a", href=PAGE)


def test_workers_drain_and_claim_again(browser: TestClient, engine: Engine) -> None:
    for name in ("cpu0@here", "cpu1@here"):
        report_worker(engine, name, "cpu0", register_v4(engine))

    assert send(browser, "drain", worker="cpu0@here", draining="true").headers["location"] == f"{PAGE}#workers"
    assert [row[4] for row in read_table(browser, "workers")] == ["draining", "scanning"]
    send(browser, "drain", draining="true")
    assert [worker.draining for worker in list_live_workers(engine, 60)] == [True, True]
    send(browser, "drain", draining="false")
    assert [worker.draining for worker in list_live_workers(engine, 60)] == [False, False]
    assert "no worker gone is alive" in read_page(send(browser, "drain", worker="gone", draining="true"), 409).shown


def test_queues_are_held_back_and_resumed(browser: TestClient, engine: Engine) -> None:
    submit_job_of(engine, 3)
    assert [row[:4] for row in read_table(browser, "queues")] == [["bulk", "pending", "1", "3"]]

    for fields in ({"priority": "bulk", "submitter": ""}, {"priority": "", "submitter": "<b>ann</b>"}, {}):
        assert send(browser, "pause", **fields).headers["location"] == f"{PAGE}#queues"
    rows = read_table(browser, "pauses")
    assert [row[:2] for row in rows] == [
        ["priority bulk", "olga"], ["submitter <b>ann</b>", "olga"], ["everything", "olga"],
    ]  # fmt: skip
    assert "a pause has one subject" in read_page(send(browser, "pause", priority="bulk", submitter="ann"), 409).shown
    for pause in list_pauses(engine):
        send(browser, "resume", pause_id=pause.id)
    assert list_pauses(engine) == []
    assert send(browser, "resume", pause_id=1).status_code == 303


def test_errors_are_shown_by_code_with_an_example_and_a_retry(browser: TestClient, engine: Engine) -> None:
    job_ids = [submit_job_of(engine, 2) for _ in range(2)]
    finish_waiting_chunks(engine, Outcome.ERROR)
    execute(engine, "UPDATE verdicts SET error_code = 'too_slow', error_detail = '<i>' WHERE ordinal = 1")
    execute(engine, f"UPDATE verdicts SET scanned_at = now() - interval '2 days' WHERE job_id = '{job_ids[0]}'")

    rows = read_table(browser, "failures")
    link = (
        read_page(browser.get(PAGE))
        .find("table", class_="failures")
        .find("a", href=f"/page/jobs/{job_ids[1]}/verdicts/0")
    )
    answer = send(browser, "retry", job=job_ids[1], code="too_slow")

    assert sorted(row[:5] for row in rows) == [
        ["empty", "1", "1", "file:///image-0", ""], ["too_slow", "1", "1", "file:///image-1", "<i>"],
    ]  # fmt: skip
    assert link.text == "file:///image-0"
    assert read_page(browser.get(answer.headers["location"])).read_facts()["Retry of"] == str(job_ids[1])
    assert "no image of job" in read_page(send(browser, "retry", job=job_ids[1], code="corrupt"), 409).shown


def test_a_key_is_made_shown_once_and_revoked(browser: TestClient, engine: Engine, own_key: str) -> None:
    answer = send(
        browser, "keys", name="<b>bob</b>", scope=["read", "submit"], buckets="s3://first s3://other/part", own=own_key
    )

    made = read_page(answer).find("div", class_="made").find("pre").text
    found = find_key(engine, made)
    assert found is not None
    assert (found.name, found.scopes) == ("<b>bob</b>", (Scope.READ, Scope.SUBMIT))
    assert list(map(str, found.buckets or ())) == ["s3://first", "s3://other/part"]
    assert made not in browser.get(PAGE).text
    assert read_table(browser, "keys")[1][:4] == [
        "<b>bob</b>",
        found.prefix,
        "read, submit",
        "s3://first s3://other/part",
    ]
    assert send(browser, "keys/revoke", name="<b>bob</b>").headers["location"] == f"{PAGE}#keys"
    assert find_key(engine, made) is None
    assert "revoked" in read_table(browser, "keys")[1][5]
    assert read_page(send(browser, "keys/revoke", name="<b>bob</b>"), 409).shown
    assert [row[1:4] for row in read_table(browser, "operations")] == [
        ["olga", "revoke key", f"key <b>bob</b> ({found.prefix})"],
        ["olga", "create key", f"key <b>bob</b> ({found.prefix})"],
    ]


def test_who_does_not_have_his_own_key_makes_none(browser: TestClient, engine: Engine, own_key: str) -> None:
    other = create_key(engine, "root", ["admin"])

    for own, status in (("", 422), ("wrong", 403), (other, 403)):
        read_page(send(browser, "keys", name="bob", scope="admin", own=own), status)
    for fields in ({"name": "olga", "scope": "read"}, {"name": " ", "scope": "read"}):
        read_page(send(browser, "keys", **fields, own=own_key), 409)
    for fields in (
        {"name": "bob"},
        {"name": "bob", "scope": "all"},
        {"scope": "read"},
        {"name": "a\0", "scope": "read"},
    ):
        read_page(send(browser, "keys", **fields, own=own_key), 422)
    assert [row[0] for row in read_table(browser, "keys")] == ["olga", "root"]


def test_a_webhook_is_delivered_again(browser: TestClient, engine: Engine) -> None:
    options = JobOptions(webhook="https://example.org/<b>")
    job_id = submit_job(engine, ["file:///a"], options, submitter="ann").job_id
    finish_waiting_chunks(engine)
    execute(engine, "UPDATE webhooks SET attempts = 9, given_up_at = now(), last_error = 'answered <i>'")

    assert read_table(browser, "webhooks")[0][:4] == [
        str(job_id), "ann", "https://example.org/<b>", "given up, 9 attempts: answered <i>",
    ]  # fmt: skip
    assert send(browser, "redeliver", job=job_id).headers["location"] == f"{PAGE}#webhooks"
    state = read_webhook(engine, job_id)
    assert (state.attempts, state.given_up_at, state.delivered_at) == (0, None, None)
    assert read_table(browser, "operations")[0][1:4] == ["olga", "redeliver", f"webhook of job {job_id}"]
    other = submit_job_of(engine, 1)
    assert "has no webhook" in read_page(send(browser, "redeliver", job=other), 409).shown
