"""Jobs on the page: listing, searching, showing one, submitting images, and downloading verdicts."""

import json

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from producer.api.page import jobs as jobs_of_the_page
from starlight_vocabulary.words import Outcome
from storage.rescans import Rescanning
from storage.verdict_search import VerdictFilter
from tests.kit.api import Api
from tests.kit.page import Element, act_on_jobs, list_job_names, read_page, sign_in_as, submit_named
from tests.kit.pictures import encode_pattern
from tests.kit.rows import finish_waiting_chunks, register_v4, submit_job_of

PNG = encode_pattern("PNG")


@pytest.fixture
def browser(api: Api) -> TestClient:
    """A browser that is signed in as ann."""
    return sign_in_as(api, "ann")


def test_the_list_shows_how_far_jobs_are(browser: TestClient, engine: Engine) -> None:
    done = submit_job_of(engine, 3)
    finish_waiting_chunks(engine, Outcome.ERROR)
    waiting = submit_job_of(engine, 1200)

    page = read_page(browser.get("/page/jobs"))

    first, second = (row[1:] for row in page.read_rows())
    assert (first[0], first[2], first[4], first[7]) == (str(waiting), "pending", "1 200", "\N{EN DASH}")
    assert (second[0], second[2], second[4], second[5]) == (str(done), "done", "3", "0 / 0 / 3")
    bars = [(each.attributes["value"], each.attributes["max"]) for each in page.find_all("progress")]
    assert bars == [("0", "1200"), ("3", "3")]


def test_jobs_are_found_by_name_id_state_and_submitter(api: Api, engine: Engine) -> None:
    browser = sign_in_as(api, "root", "admin")
    june = submit_named(engine, "Evidence of June")
    finish_waiting_chunks(engine)
    submit_named(engine, "50%_off", submitter="bob")

    assert list_job_names(browser, "?text=of+jun&state=&submitter=") == ["Evidence of June"]
    assert list_job_names(browser, f"?text={june.upper()}") == ["Evidence of June"]
    assert list_job_names(browser, "?text=%25_") == ["50%_off"]
    assert list_job_names(browser, "?state=pending") == ["50%_off"]
    assert list_job_names(browser, "?submitter=ann") == ["Evidence of June"]
    refused = read_page(browser.get("/page/jobs?submitter=anne"), 422)
    assert "there is no submitter 'anne': use one of ann, bob" in refused.shown
    assert list_job_names(browser, "?text=nothing") == []
    assert read_page(browser.get("/page/jobs?text=june")).find("input", name="text").attributes["value"] == "june"


@pytest.mark.parametrize("query", ["?state=no", "?before=1", "?after=x", "?text=%00", f"?text={'a' * 201}"])
def test_a_search_that_cannot_be_used_says_what_is_wrong(browser: TestClient, query: str) -> None:
    page = read_page(browser.get(f"/page/jobs{query}"), 422)

    assert page.find("li").find("code").text == f"query.{query[1:].partition('=')[0]}"


def test_pages_follow_each_other_and_keep_the_search(
    browser: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_of_the_page, "PAGE", 2)
    for name in ("one", "two", "other", "three"):
        submit_named(engine, f"{name} job" if name != "other" else name)

    page = read_page(browser.get("/page/jobs?text=job"))
    following = page.find("a", rel="next").attributes["href"]
    last = read_page(browser.get(f"/page/jobs{following}"))

    assert [row[1] for row in page.read_rows()] == ["three job", "two job"]
    assert [row[1] for row in last.read_rows()] == ["one job"]
    assert last.find_all("a", rel="next") == []
    assert page.find_all("a", rel="prev") == []
    back = last.find("a", rel="prev").attributes["href"]
    assert read_page(browser.get(f"/page/jobs{back}")).read_rows() == page.read_rows()


def test_a_page_of_newer_jobs_is_between_others(
    browser: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_of_the_page, "PAGE", 2)
    for number in range(6):
        submit_named(engine, str(number))

    def follow(page: Element, direction: str) -> Element:
        return read_page(browser.get(f"/page/jobs{page.find('a', rel=direction).attributes['href']}"))

    first = read_page(browser.get("/page/jobs"))
    last = follow(follow(first, "next"), "next")
    middle = follow(last, "prev")

    assert [[row[1] for row in page.read_rows()] for page in (first, middle, last)] == [
        ["5", "4"], ["3", "2"], ["1", "0"],
    ]  # fmt: skip
    assert follow(middle, "next").read_rows() == last.read_rows()
    assert follow(middle, "prev").find_all("a", rel="prev") == []


def test_a_job_and_its_rescan_name_each_other(browser: TestClient, engine: Engine) -> None:
    job_id = submit_job_of(engine, 2)
    finish_waiting_chunks(engine)
    (made,) = Rescanning(engine, [register_v4(engine)], VerdictFilter(job_id=job_id)).submit_all()

    old, new = (read_page(browser.get(f"/page/jobs/{each}")).read_facts() for each in (job_id, made.job_id))

    assert old["Rescanned by"] == str(made.job_id)
    assert new["Rescan of"] == str(job_id)


def test_others_jobs_are_not_there(browser: TestClient, engine: Engine, api: Api) -> None:
    other = submit_named(engine, "secret", submitter="bob")

    assert list_job_names(browser, "?submitter=bob") == []
    for answer in (
        browser.get(f"/page/jobs/{other}"),
        act_on_jobs(browser, "cancel", other),
        act_on_jobs(browser, "retry", other),
        browser.post("/page/jobs/download", data={"format": "ndjson", "job": other}),
    ):
        assert "secret" not in answer.text
        assert "there is no job" in read_page(answer, 404).shown
    assert list_job_names(sign_in_as(api, "root", "admin")) == ["secret"]


def test_images_of_a_form_become_a_job(browser: TestClient, engine: Engine) -> None:
    form = read_page(browser.get("/page/jobs")).find("form", method="post", enctype="multipart/form-data")
    field = form.find("input", type="file").attributes["name"]
    files = [(field, ("ä b.png", PNG)), (field, ("two.png", PNG + b"2"))]

    answer = browser.post(
        form.attributes["action"], files=files, data={"name": "", "priority": "interactive", "threshold": "0.25"}
    )

    assert answer.status_code == 303, answer.text
    facts = read_page(browser.get(answer.headers["location"])).read_facts()
    assert (facts["Submitter"], facts["Priority"], facts["Threshold"]) == ("ann", "interactive", "0.25")
    with engine.connect() as connection:
        references = list(connection.execute(text("SELECT unnest(refs) FROM chunks")).scalars())
    assert [each.rpartition("/")[2] for each in references] == ["%C3%A4%20b.png", "two.png"]


def test_a_form_without_an_image_or_with_a_wrong_field_stores_nothing(browser: TestClient, engine: Engine) -> None:
    empty = browser.post("/page/jobs", data={"name": "a"}, files=[("images", ("", b""))])
    wrong = browser.post("/page/jobs", data={"threshold": "2"}, files=[("images", ("a.png", PNG))])

    assert "choose one image or more" in read_page(empty, 422).shown
    assert "threshold" in read_page(wrong, 422).shown
    assert list_job_names(browser) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM blobs WHERE released_at IS NULL")).scalar() == 0


def test_verdicts_of_several_jobs_are_downloaded_together(browser: TestClient, engine: Engine) -> None:
    jobs = [str(submit_job_of(engine, 2)) for _ in range(2)]
    finish_waiting_chunks(engine)

    answers = [browser.post("/page/jobs/download", data={"format": kind, "job": jobs}) for kind in ("ndjson", "csv")]

    lines = [json.loads(line) for line in answers[0].text.splitlines()]
    assert [(each["job_id"], each["ordinal"]) for each in lines] == [(job, at) for job in jobs for at in (0, 1)]
    assert answers[0].headers["content-disposition"] == 'attachment; filename="verdicts.ndjson"'
    assert len(answers[1].text.splitlines()) == 5
