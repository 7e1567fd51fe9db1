"""Actions on jobs of the page: cancelling, retrying, holding back and moving them, one or several at once."""

import uuid

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from starlight_vocabulary.words import Outcome
from storage.failures import list_retries
from storage.operations import list_operations
from storage.pauses import list_pauses
from tests.kit.api import Api
from tests.kit.page import act_on_jobs, read_page, sign_in_as
from tests.kit.rows import finish_waiting_chunks, read_job, submit_job_of


@pytest.fixture
def browser(api: Api) -> TestClient:
    """A browser that is signed in as ann."""
    return sign_in_as(api, "ann")


def offered(browser: TestClient, job_id: object) -> list[str]:
    """Return the actions that the page of a job offers."""
    form = read_page(browser.get(f"/page/jobs/{job_id}")).find("form", class_="actions")
    return [each.attributes["value"] for each in form.find_all("button")]


def test_a_job_is_cancelled(browser: TestClient, engine: Engine) -> None:
    job_id = submit_job_of(engine, 2)

    assert offered(browser, job_id) == ["cancel"]
    assert act_on_jobs(browser, "cancel", job_id).headers["location"] == f"/page/jobs/{job_id}"
    assert read_job(engine, job_id).state == "cancelled"
    assert read_page(browser.get(f"/page/jobs/{job_id}")).find("table").read_rows()[0][:2] == ["cancelled", "2"]


def test_failed_images_are_scanned_again(browser: TestClient, engine: Engine) -> None:
    job_id = submit_job_of(engine, 2)
    early = act_on_jobs(browser, "retry", job_id)
    finish_waiting_chunks(engine, Outcome.ERROR)

    assert offered(browser, job_id) == ["retry"]
    answer = act_on_jobs(browser, "retry", job_id)

    (retry,) = list_retries(engine, job_id)
    assert "has not ended yet" in read_page(early, 409).shown
    assert answer.headers["location"] == f"/page/jobs/{retry}"
    assert read_page(browser.get(answer.headers["location"])).read_facts()["Retry of"] == str(job_id)
    assert read_page(browser.get(f"/page/jobs/{job_id}")).read_facts()["Retried by"] == str(retry)


def test_an_admin_pauses_resumes_and_moves_a_job(api: Api, engine: Engine) -> None:
    root = sign_in_as(api, "root", "admin")
    job_id = submit_job_of(engine, 2)

    assert offered(root, job_id) == ["cancel", "pause", "interactive"]
    assert act_on_jobs(root, "pause", job_id).status_code == 303
    assert "paused" in root.get("/page/jobs").text
    assert offered(root, job_id) == ["cancel", "resume", "interactive"]
    assert [pause.job_id for pause in list_pauses(engine)] == [job_id]
    assert act_on_jobs(root, "resume", job_id).status_code == 303
    assert list_pauses(engine) == []
    assert act_on_jobs(root, "interactive", job_id).status_code == 303
    assert read_job(engine, job_id).priority == "interactive"
    assert {each.done_by for each in list_operations(engine, 10)} == {"root"}
    assert "is not paused" in read_page(act_on_jobs(root, "resume", job_id), 409).shown


@pytest.mark.parametrize("action", ["pause", "resume", "interactive", "bulk"])
def test_only_admins_hold_jobs_back_and_move_them(browser: TestClient, engine: Engine, action: str) -> None:
    job_id = submit_job_of(engine, 1)

    assert act_on_jobs(browser, action, job_id).status_code == 403
    assert list_operations(engine, 10) == []


def test_several_jobs_are_cancelled_at_once(browser: TestClient, engine: Engine) -> None:
    jobs = [submit_job_of(engine, 2) for _ in range(3)]
    form = read_page(browser.get("/page/jobs")).find("form", action="/page/jobs/actions")
    boxes = {each.attributes["value"] for each in form.find_all("input", name="job")}

    page = read_page(act_on_jobs(browser, "cancel", *jobs[:2]))

    assert boxes == set(map(str, jobs))
    assert [row[1] for row in page.read_rows()] == ["cancelled; not scanned: 2 images"] * 2
    assert [read_job(engine, each).state for each in jobs] == ["cancelled", "cancelled", "pending"]


def test_what_cannot_be_done_with_one_of_several_jobs_is_told(browser: TestClient, engine: Engine) -> None:
    failed = submit_job_of(engine, 2)
    finish_waiting_chunks(engine, Outcome.ERROR)
    clean = submit_job_of(engine, 1)
    finish_waiting_chunks(engine)

    page = read_page(act_on_jobs(browser, "retry", failed, clean))

    (retry,) = list_retries(engine, failed)
    first, second = page.read_rows()
    assert first[1] == f"retrying 2 images, as {retry}"
    assert second[1] == f"no image of job {clean} failed"
    assert len(page.find_all("td", class_="wrong")) == 1


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_jobs_that_have_ended_are_left_as_they_are(api: Api, engine: Engine, action: str) -> None:
    root = sign_in_as(api, "root", "admin")
    ended = submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    waiting = submit_job_of(engine, 1)

    first, second = read_page(act_on_jobs(root, action, ended, waiting)).read_rows()

    assert first[1] == f"job {ended} has already ended"
    assert second[1] in ("cancelled; not scanned: 1 image", "paused")
    assert "has already ended" in read_page(act_on_jobs(root, action, ended), 409).shown
    assert read_job(engine, ended).state == "done"
    assert [pause.job_id for pause in list_pauses(engine)] == ([waiting] if action == "pause" else [])


@pytest.mark.parametrize(
    "data",
    [
        {"action": "cancel"}, {"action": "cancel", "job": "x"}, {"action": "explode", "job": str(uuid.UUID(int=0))},
        {"job": str(uuid.UUID(int=0))}, {"action": "cancel", "job": [str(uuid.UUID(int=at)) for at in range(51)]},
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_used_says_what_is_wrong(browser: TestClient, data: dict[str, str]) -> None:
    page = read_page(browser.post("/page/jobs/actions", data=data), 422)

    assert page.find("li").find("code").text.startswith(("body.job", "body.action"))


def test_who_may_only_read_is_offered_nothing_else(api: Api, engine: Engine) -> None:
    job_id = submit_job_of(engine, 1)
    browser = sign_in_as(api, "ann", "read")

    (form,) = read_page(browser.get("/page/jobs")).find("main").find_all("form", method="post")
    assert {each.attributes["name"] for each in form.find_all("button")} == {"format"}
    assert read_page(browser.get(f"/page/jobs/{job_id}")).find("main").find_all("form") == []
    assert act_on_jobs(browser, "cancel", job_id).status_code == 403
    assert read_job(engine, job_id).state == "pending"
