"""Signing in to the page: the session, its end, and which forms are accepted."""

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from storage.keys import create_key, revoke_key
from storage.settings import Settings
from tests.kit.api import Api, read_problem
from tests.kit.page import open_browser, read_page, sign_in_as
from tests.kit.rows import execute, submit_job_of

SCRIPT = ("/page/assets/page.js", "")
ELSEWHERE = (
    "https://example.com/", "//example.com", "/\\example.com", "/v1/jobs", "javascript:alert(1)", "/page/a\nb",
)  # fmt: skip


@pytest.fixture
def key(engine: Engine) -> str:
    return create_key(engine, "ann", ["read"])


def test_who_is_not_signed_in_is_led_to_where_one_does_and_back(api: Api, key: str) -> None:
    browser = open_browser(api)

    led = browser.get("/page/jobs?text=june")
    form = read_page(browser.get(led.headers["location"])).find("form")
    fields = {each.attributes["name"]: each.attributes.get("value", "") for each in form.find_all("input")}
    entered = browser.post("/page/sign-in", data={**fields, "key": key})

    assert led.status_code == 303
    assert set(fields) == {"next", "key"}
    assert (entered.status_code, entered.headers["location"]) == (303, "/page/jobs?text=june")
    assert read_page(browser.get(entered.headers["location"])).find("h1").text == "Jobs"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://example.com/", "//example.com", "/\\example.com", "/v1/jobs", "javascript:alert(1)", "/page/a\nb"],
)
def test_signing_in_leads_nowhere_else(api: Api, key: str, elsewhere: str) -> None:
    answer = open_browser(api).post("/page/sign-in", data={"key": key, "next": elsewhere})

    assert answer.headers["location"] == "/"


def test_a_wrong_key_opens_no_session(api: Api, engine: Engine) -> None:
    answer = open_browser(api).post("/page/sign-in", data={"key": "starlight_0_0"})

    assert "not a valid key" in read_page(answer, 401).find("p", role="alert").text
    assert "set-cookie" not in answer.headers
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sessions")).scalar() == 0


def test_the_cookie_is_for_this_server_alone(api: Api, key: str, engine: Engine) -> None:
    plain = open_browser(api).post("/page/sign-in", data={"key": key})
    by_tls = open_browser(api).post("/page/sign-in", data={"key": key}, headers={"Origin": "https://testserver"})

    name, *attributes = plain.headers["set-cookie"].split("; ")
    assert name.startswith("starlight=")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=strict"}
    name, *attributes = by_tls.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-starlight=")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=strict", "Secure"}
    token = name.partition("=")[2].encode()
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT sha256 FROM sessions")).scalars().all()
    assert len(stored) == 2
    assert all(token not in each for each in stored)


def test_a_session_is_no_key_and_a_key_no_session(api: Api, key: str) -> None:
    browser = sign_in_as(api, "bob")

    read_problem(browser.get("/v1/jobs"), 401)
    assert api.connect(key).get("/page/jobs", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET created_at = now() - interval '13 hours'",
        "UPDATE sessions SET seen_at = now() - interval '61 minutes'",
        "UPDATE api_keys SET revoked_at = now()",
    ],
)
def test_a_session_ends_by_its_age_by_idleness_and_with_its_key(api: Api, engine: Engine, statement: str) -> None:
    browser = sign_in_as(api, "ann")
    assert browser.get("/page/jobs").status_code == 200

    execute(engine, statement)

    assert browser.get("/page/jobs").headers["location"] == "/page/sign-in?next=%2Fpage%2Fjobs"


def test_a_request_keeps_a_session_from_being_idle_and_the_next_sign_in_forgets_the_dead(
    api: Api, engine: Engine
) -> None:
    browser = sign_in_as(api, "ann")
    execute(engine, "UPDATE sessions SET seen_at = now() - interval '50 minutes'")

    browser.get("/page/jobs")

    with engine.connect() as connection:
        assert connection.execute(text("SELECT now() - seen_at < interval '1 minute' FROM sessions")).scalar()
    execute(engine, "UPDATE sessions SET created_at = now() - interval '13 hours'")
    sign_in_as(api, "bob")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sessions")).scalar() == 1


def test_signing_out_ends_the_session_for_good(api: Api) -> None:
    browser = sign_in_as(api, "ann")
    token = browser.cookies["starlight"]

    answer = browser.post("/page/sign-out")

    assert (answer.status_code, answer.headers["location"]) == (303, "/page/sign-in")
    assert "starlight" not in browser.cookies
    assert browser.get("/page/jobs", headers={"Cookie": f"starlight={token}"}).status_code == 303


def test_signing_out_everywhere_ends_all_sessions_of_the_key(api: Api, key: str) -> None:
    first, second = open_browser(api), open_browser(api)
    for browser in (first, second):
        browser.post("/page/sign-in", data={"key": key})
    other = sign_in_as(api, "bob")

    first.post("/page/sign-out", data={"everywhere": "true"})

    assert second.get("/page/jobs").status_code == 303
    assert other.get("/page/jobs").status_code == 200


def test_a_revoked_key_signs_in_no_more(api: Api, engine: Engine, key: str) -> None:
    revoke_key(engine, "ann")

    assert open_browser(api).post("/page/sign-in", data={"key": key}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Origin": "http://testserver.example.com"},
        {"Origin": "http://testserver:81"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_of_another_site_changes_nothing(api: Api, engine: Engine, key: str, headers: dict[str, str]) -> None:
    browser = sign_in_as(api, "bob")
    job_id = submit_job_of(engine, 1, submitter="bob")

    answers = [
        browser.post(path, data={"key": key, "action": "cancel", "job": str(job_id)}, headers=headers)
        for path in ("/page/jobs/actions", "/page/sign-in", "/page/sign-out", "/page/jobs")
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert browser.get(f"/page/jobs/{job_id}").status_code == 200
    with engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM jobs")).scalar() == "pending"


def test_every_answer_keeps_scripts_frames_and_caches_out(api: Api, key: str) -> None:
    browser = sign_in_as(api, "bob")

    for answer in (
        browser.get("/page/sign-in"), browser.get("/page/jobs"), browser.get("/page/nothing"),
        browser.get("/page/jobs?state=no"), browser.post("/page/jobs"), open_browser(api).get("/page/jobs"),
    ):  # fmt: skip
        policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        if answer.status_code != 303:
            page = read_page(answer, answer.status_code)
            assert all(
                each.attributes["src"].startswith("/page/assets/") and not each.text for each in page.find_all("script")
            )
            assert page.find_all("style") == []
            assert 'style="' not in answer.text
            assert " on" not in " ".join(f" {name}" for each in page.find_all("button") for name in each.attributes)


def test_what_the_page_loads_is_served_without_a_session(api: Api, api_settings: Settings) -> None:
    browser = open_browser(api)
    page = read_page(browser.get("/page/sign-in"))

    loaded = [each.attributes["href"] for each in page.find_all("link")] + [page.find("script").attributes["src"]]

    assert len(loaded) == 3
    for path in loaded:
        assert browser.get(path).status_code == 200
    assert browser.get("/page/assets/../templates/jobs.html").status_code in (303, 404)


def test_a_refusal_is_told_as_a_page(api: Api) -> None:
    browser: TestClient = sign_in_as(api, "ann", "read")

    page = read_page(browser.post("/page/jobs", files=[("images", ("a.png", b"1"))]), 403)

    assert "lacks the scope 'submit'" in page.find("p", class_="wrong").text
