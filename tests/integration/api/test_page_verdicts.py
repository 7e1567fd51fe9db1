"""Verdicts on the page: listing, filtering, paging and downloading them."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.api.page import verdicts as verdicts_of_the_page
from tests.kit.api import Api
from tests.kit.page import PNG, read_page, run_page_as, scan, scan_each_outcome, sign_in_as


@pytest.fixture
def browser(api: Api) -> Iterator[TestClient]:
    """A browser that is signed in as ann, with the application's lifespan running."""
    with run_page_as(api, "ann") as client:
        yield client


@pytest.fixture
def job_id(browser: TestClient, engine: Engine) -> str:
    return scan_each_outcome(browser, engine)


def list_images(browser: TestClient, **query: object) -> list[str]:
    return [row[1] for row in read_page(browser.get(f"/page/verdicts?{urlencode(query)}")).read_rows()]


def test_verdicts_are_listed_with_what_was_found(browser: TestClient, job_id: str) -> None:
    page = read_page(browser.get("/page/verdicts"))

    rows = page.read_rows()
    assert [row[1:6] for row in rows] == [
        ["clean.png", "clean", "0.2500", "", ""],
        ["s ä.png", "stego", "0.7500", "alpha", r"k\u202eey\x07\nunder <b>the</b> mat"],
        ["x.png", "error", "", "", "empty"],
    ]
    assert [each.text for each in page.find("bdi", class_="message").find_all("span", class_="escape")] == [
        "\\u202e", "\\x07\\n",
    ]  # fmt: skip
    assert page.find_all("b") == []
    assert [row[0] for row in rows] == ["", "", "not stored"]
    assert len(page.find_all("img")) == 2


def test_filters_stand_in_the_address(browser: TestClient, engine: Engine, job_id: str) -> None:
    now = datetime.now(UTC)
    stego = browser.get(f"/page/jobs/{job_id}/verdicts/1")
    digest = read_page(stego).read_facts()["SHA-256"]
    expected: dict[str, list[dict[str, object]]] = {
        "clean.png": [
            {"outcome": "clean"}, {"outcome": "clean", "model": "v4-0"},
            {"max_probability": 0.25}, {"min_probability": "0.1", "max_probability": "0.5"},
        ],
        "s ä.png": [
            {"outcome": "stego"}, {"method": "alpha"}, {"min_probability": 0.75}, {"sha256": digest.upper()},
            {"words": "mat UNDER"}, {"part": "<B>the"},
        ],
        "x.png": [{"outcome": "error"}, {"error_code": "empty"}],
    }  # fmt: skip

    for name, queries in expected.items():
        for query in queries:
            assert list_images(browser, **query, since="") == [name], query
    assert len(list_images(browser, job=job_id)) == 3
    assert list_images(browser, model="v4-0") == ["clean.png", "s ä.png"]
    for address in ("/page/verdicts?model=v4-1", "/page/verdicts/download?model=v4-1&format=csv"):
        refused = browser.get(address)
        assert refused.status_code == 422
        assert "there is no model &#39;v4-1&#39;: use one of v4-0" in refused.text
    assert len(list_images(browser, since=(now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"))) == 3
    assert list_images(browser, until=(now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")) == []
    form = read_page(browser.get("/page/verdicts?outcome=stego&min_probability=0.5")).find("form", class_="filters")
    assert [each.text for each in form.find_all("option", selected="")] == ["stego"]
    assert form.find("input", name="min_probability").attributes["value"] == "0.5"


@pytest.mark.parametrize(
    "query",
    [
        "outcome=no",
        "job=1",
        "min_probability=2",
        "max_probability=nan",
        "sha256=ab",
        "cursor=x",
        "before=x",
        "since=then",
        "until=2026-01-01&since=2026-01-02",
        "words=%2C",
        "part=%00",
        "other=1",
    ],
)
def test_a_filter_that_cannot_be_used_says_which(browser: TestClient, query: str) -> None:
    page = read_page(browser.get(f"/page/verdicts?{query}"), 422)

    assert page.find("li").find("code").text == f"query.{query.partition('=')[0]}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=2026", "not a time: write it like 2026-05-31 or 2026-05-31T12:00:00+00:00"),
        ("until=2026-13-01", "not a time: write it like 2026-05-31 or 2026-05-31T12:00:00+00:00"),
        ("sha256=ab", "not a SHA-256: it must have 64 hexadecimal digits"),
        ("max_probability=0.5&min_probability=0.9", "0.5 is lower than 0.9, so nothing lies between: exchange them"),
        ("words=%2C", "it contains no word: search for a part instead"),
        ("submitter=%00", "must not contain the character NUL"),
    ],
)
def test_what_is_wrong_with_a_filter_is_told_in_plain_words(browser: TestClient, query: str, message: str) -> None:
    page = read_page(browser.get(f"/page/verdicts?{query}"), 422)

    assert page.find("li").shown == f"query.{query.partition('=')[0]}: {message}"


def test_pages_follow_each_other_and_keep_the_filters(
    browser: TestClient, engine: Engine, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts_of_the_page, "PAGE", 2)

    page = read_page(browser.get(f"/page/verdicts?job={job_id}"))
    following = page.find("a", rel="next").attributes["href"]
    last = read_page(browser.get(f"/page/verdicts{following}"))

    assert [row[1] for row in page.read_rows()] == ["clean.png", "s ä.png"]
    assert [row[1] for row in last.read_rows()] == ["x.png"]
    assert last.find("input", name="job").attributes["value"] == job_id
    assert last.find_all("a", rel="next") == []
    assert page.find_all("a", rel="prev") == []
    back = last.find("a", rel="prev").attributes["href"]
    assert read_page(browser.get(f"/page/verdicts{back}")).read_rows() == page.read_rows()


def test_pages_are_walked_through_back_and_forth(
    browser: TestClient, engine: Engine, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts_of_the_page, "PAGE", 1)
    again = scan(browser, engine, ("later.png", PNG + b"3", {}), ("last.png", PNG + b"4", {}))

    for query, names in (
        ("", ["later.png", "last.png", "clean.png", "s ä.png", "x.png"]),
        (f"job={job_id}", ["clean.png", "s ä.png", "x.png"]),
        ("outcome=clean", ["later.png", "last.png", "clean.png"]),
        (f"job={again}", ["later.png", "last.png"]),
    ):
        forth, forth_links = walk(browser, query, "next")
        back, back_links = walk(browser, forth_links[-1], "prev")
        assert forth == back[::-1] == names, query
        assert walk(browser, back_links[-2], "next")[0] == names[1:], query


def walk(browser: TestClient, query: str, direction: str) -> tuple[list[str], list[str]]:
    """Follow the links in this direction; return the only image of each page, and the queries of the pages."""
    names, queries = [], [query]
    while True:
        page = read_page(browser.get(f"/page/verdicts?{queries[-1]}"))
        names += [row[1] for row in page.read_rows()]
        links = page.find_all("a", rel=direction)
        if not links:
            return names, queries
        queries.append(links[0].attributes["href"].removeprefix("?"))


def test_what_fits_is_downloaded(browser: TestClient, job_id: str) -> None:
    page = read_page(browser.get("/page/verdicts?outcome=error"))
    links = {each.text: each.attributes["href"] for each in page.find("p", class_="hint").find_all("a")}

    as_csv, as_ndjson = browser.get(links["csv"]), browser.get(links["ndjson"])

    assert as_csv.headers["content-disposition"] == 'attachment; filename="verdicts.csv"'
    (row,) = csv.DictReader(io.StringIO(as_csv.text))
    assert (row["job_id"], row["error_detail"]) == (job_id, "'=no <i>bytes</i>")
    assert [json.loads(line)["outcome"] for line in as_ndjson.text.splitlines()] == ["error"]


def test_others_verdicts_are_not_there(api: Api, browser: TestClient, engine: Engine, job_id: str) -> None:
    bob = sign_in_as(api, "bob")
    browser.post(f"/page/jobs/{job_id}/verdicts/1/judgements", data={"judgement": "true"})

    assert list_images(bob) == list_images(bob, submitter="ann") == []
    for path in ("", "/picture"):
        assert bob.get(f"/page/jobs/{job_id}/verdicts/1{path}").status_code == 404
    assert bob.post(f"/page/jobs/{job_id}/verdicts/1/judgements", data={"judgement": "true"}).status_code == 404
    assert bob.get("/page/labels").text == ""
    for address in (f"/page/verdicts?job={job_id}", f"/page/verdicts/download?format=ndjson&job={job_id}"):
        refused = bob.get(address)
        assert (refused.status_code, f"there is no job {job_id}" in refused.text) == (422, True)
    root = sign_in_as(api, "root", "admin")
    assert len(list_images(root, submitter="ann")) == 3
    for address in ("/page/verdicts?submitter=anne", "/page/verdicts/download?submitter=anne&format=csv"):
        refused = root.get(address)
        assert refused.status_code == 422
        assert "there is no submitter &#39;anne&#39;: use one of " in refused.text
    # Other submitters' names are shown to admins only.
    assert list_images(bob, submitter="anne") == []
    assert len(root.get("/page/labels").text.splitlines()) == 1
