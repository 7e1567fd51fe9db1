"""The start page, and the events that update it."""

import httpx
from httpx_sse import connect_sse
from sqlalchemy import Engine

from starlight_vocabulary.words import Method, Outcome
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, end_round
from storage.settings import CANARY_SUBMITTER
from storage.submission import submit_job
from storage.workers import report_worker
from tests.kit.api import Api
from tests.kit.page import read_html, read_page, sign_in_as
from tests.kit.rows import finish_waiting_chunks, register_v4, submit_job_of
from tests.kit.threads import PATIENCE_S


def test_the_start_shows_figures_open_jobs_and_workers(api: Api, engine: Engine) -> None:
    submit_job_of(engine, 3)
    finish_waiting_chunks(engine, Outcome.CLEAN)
    own, others = submit_job_of(engine, 40), submit_job_of(engine, 2, submitter="bob")
    report_worker(engine, "<cpu0>@here", "cpu0", register_v4(engine))

    page = read_page(sign_in_as(api, "ann").get("/"))

    figures = page.find("div", class_="figures")
    shown = {span.shown: strong.shown for span, strong in zip(*map(figures.find_all, ("span", "strong")), strict=True)}
    assert shown["images in the last minute; target 1 000"] == "3"
    assert shown["images waiting or being scanned"] == "42"
    assert (shown["clean, total"], shown["workers"]) == ("3", "1")
    assert [row[0] for row in page.find("table", class_="jobs").read_rows()] == [str(own)]
    assert page.find("table", class_="workers").read_rows()[0][:2] == ["<cpu0>@here", "cpu0"]
    admins = read_page(sign_in_as(api, "root", "admin").get("/"))
    assert [row[0] for row in admins.find("table", class_="jobs").read_rows()] == [str(others), str(own)]


def test_the_newest_round_of_canaries_is_one_line(api: Api, engine: Engine) -> None:
    right = CanaryAnswer("raw.jpg", Method.RAW, CanaryResult.RIGHT, "stego", "raw", 1.0, seconds=0.25)
    for others in ([], [CanaryAnswer("exif-clean.jpg", None, CanaryResult.WRONG, "stego", "exif", 0.9, seconds=4.0)]):
        round_id = begin_round(engine, 7, 0.0)
        assert round_id is not None
        job_id = submit_job(engine, ["file:///canary"], submitter=CANARY_SUBMITTER, canary=True).job_id
        end_round(engine, round_id, job_id, [right, *others])

    line = read_page(sign_in_as(api, "ann").get("/")).find("p", class_="wrong")

    assert line.shown.startswith("Canaries: 1 of 2 right at ")
    assert line.shown.endswith(", the slowest after 4.0 s; 1 wrong.")


def test_without_a_worker_it_says_so(api: Api) -> None:
    assert "There is no live worker" in read_page(sign_in_as(api, "ann").get("/")).find("p", class_="wrong").text


def test_events_bring_what_has_changed(api: Api, engine: Engine, address: str) -> None:
    cookies = dict(sign_in_as(api, "ann").cookies)
    with (
        httpx.Client(base_url=address, cookies=cookies, timeout=PATIENCE_S) as browser,
        connect_sse(browser, "GET", "/page/events") as source,
    ):
        events = source.iter_sse()
        first = next(events)
        job_id = submit_job_of(engine, 7)
        later = next(each for each in events if str(job_id) in each.data)

    assert first.event == later.event == "html"
    assert source.response.headers["x-accel-buffering"] == "no"
    bar = read_html(later.data).find("table", class_="jobs").find("progress")
    assert (bar.attributes["value"], bar.attributes["max"]) == ("0", "7")


def test_events_are_for_who_is_signed_in(address: str) -> None:
    answer = httpx.get(f"{address}/page/events", follow_redirects=False, timeout=PATIENCE_S)

    assert (answer.status_code, answer.headers["location"]) == (303, "/page/sign-in?next=%2Fpage%2Fevents")
