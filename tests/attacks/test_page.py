"""The page against strangers who choose names, messages, images and URLs, and against other sites."""

from collections.abc import Iterator
from urllib.parse import quote, urlencode

import httpx
import pytest
from PIL.PngImagePlugin import PngInfo

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import BitOrder, ErrorCode, Judgement, Method, Outcome
from storage.chunks import finish_chunk
from storage.judgements import judge
from storage.keys import create_key
from storage.models import add_model, use_model
from storage.new_verdict import NewVerdict
from storage.pauses import pause_chunks
from storage.submission import submit_job
from storage.workers import report_worker
from tests.attacks.conftest import ServedApi
from tests.kit.page import Element, read_html, read_page, scan
from tests.kit.pictures import draw_pattern, encode, encode_pattern
from tests.kit.rows import claim_waiting_chunks, execute, register_v4
from tests.kit.threads import PATIENCE_S

# Ends any HTML element around it and starts a script; reverses text, rings, and clears a terminal.
HOSTILE = (
    "\"'></title></textarea></pre><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u202e\x07\x1b[2J\u2066"
)
ESCAPED = HOSTILE.replace("\u202e\x07\x1b", "\\u202e\\x07\\x1b").replace("\u2066", "\\u2066")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture
def browser(served: ServedApi) -> Iterator[httpx.Client]:
    """A browser that is signed in with a key that has a hostile name."""
    origin = f"http://127.0.0.1:{served.port}"
    key = create_key(served.engine, HOSTILE, ["submit", "read"])
    with httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=PATIENCE_S) as client:
        assert client.post("/page/sign-in", data={"key": key}).status_code == 303
        yield client


def list_elements(element: Element) -> Iterator[Element]:
    for child in element.children:
        if isinstance(child, Element):
            yield child
            yield from list_elements(child)


def assert_harmless(page: Element) -> None:
    """Check that only our scripts run, that all URLs lead here, and that no control characters are shown."""
    for element in list_elements(page):
        assert not [name for name in element.attributes if name.startswith("on") or name in ("style", "srcdoc")]
        if element.name in ("script", "link"):
            assert (element.attributes.get("src") or element.attributes["href"]).startswith("/page/assets/")
        for name in ("href", "src", "action"):
            assert element.attributes.get(name, "/").startswith(("/", "?", "#"))
        assert element.name not in ("style", "iframe", "object", "embed", "base")
        assert element.name != "script" or not element.children
        assert element.name != "img" or element.attributes["src"].startswith("/page/jobs/")
    # The page itself separates thousands with this space.
    shown = page.text.replace("\N{NARROW NO-BREAK SPACE}", "")
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_hostile_names_messages_and_notes_run_nothing(served: ServedApi, browser: httpx.Client) -> None:
    engine = served.engine
    uris = [f"https://example.com/{HOSTILE}", f"blob://{'0' * 64}/{quote(HOSTILE)}"]
    job_id = submit_job(engine, uris, JobOptions(name=HOSTILE), submitter=HOSTILE).job_id
    (claim,) = claim_waiting_chunks(engine)
    stego = NewVerdict(
        0, uris[0], Outcome.STEGO, sha256=b"\0" * 32, stego_probability=0.9, method=Method.RAW,
        bit_order=BitOrder.NONE, extracted_message=HOSTILE, format=HOSTILE, error_detail=HOSTILE,
        model_id=register_v4(engine),
    )  # fmt: skip
    error = NewVerdict(1, uris[1], Outcome.ERROR, error_code=ErrorCode.CORRUPT, error_detail=HOSTILE)
    assert finish_chunk(engine, claim, [stego, error])
    judge(engine, job_id, 0, Judgement.FALSE, HOSTILE, HOSTILE)
    submit_job(engine, uris, JobOptions(name=HOSTILE), submitter=HOSTILE)

    one = f"/page/jobs/{job_id}"
    pages = {path: read_page(browser.get(path)) for path in (
        "/", "/page/jobs", one, "/page/verdicts", f"{one}/verdicts/0", f"{one}/verdicts/1",
    )}  # fmt: skip

    for page in pages.values():
        assert_harmless(page)
        assert ESCAPED in page.text
    assert pages[f"{one}/verdicts/0"].find("pre", class_="text").text == ESCAPED


def test_hostile_names_run_nothing_before_an_operator(served: ServedApi) -> None:
    engine = served.engine
    origin = f"http://127.0.0.1:{served.port}"
    report_worker(engine, HOSTILE, HOSTILE, register_v4(engine))
    pause_chunks(engine, PauseSubject(submitter=HOSTILE), HOSTILE)
    create_key(engine, HOSTILE, ["read"], done_by=HOSTILE)
    named = JobOptions(name=HOSTILE, webhook=f"https://example.com/{HOSTILE}")
    jobs = [str(submit_job(engine, [f"https://example.com/{HOSTILE}"], named, submitter="eve").job_id) for _ in "ab"]
    for claim in claim_waiting_chunks(engine):
        error = NewVerdict(0, claim.refs[0], Outcome.ERROR, error_code=ErrorCode.CORRUPT, error_detail=HOSTILE)
        assert finish_chunk(engine, claim, [error])
    figures = {HOSTILE: {HOSTILE: {"count": 1, "of": 2}}, "measured_on": {HOSTILE: HOSTILE}}
    card = {"name": "v4", "version": "evil", "sha256": "ab" * 32, "threshold": 0.5, "figures": figures}
    added, _ = add_model(engine, card)
    # As an earlier release, which checked no names, has added it.
    execute(engine, "UPDATE models SET name = :name, version = :name WHERE id = :id", name=HOSTILE, id=added)
    use_model(engine, HOSTILE, HOSTILE)

    with httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=PATIENCE_S) as olga:
        olga.post("/page/sign-in", data={"key": create_key(engine, "olga", ["admin"])})
        listed = ("operations", "model", "verdicts", "jobs")
        pages = [read_page(olga.get(f"/page/{name}")) for name in listed]
        pages.append(read_page(olga.post("/page/jobs/actions", data={"action": "pause", "job": jobs})))

    for page in pages:
        assert_harmless(page)
        assert ESCAPED in page.text


def test_hostile_metadata_runs_nothing(served: ServedApi, browser: httpx.Client) -> None:
    info = PngInfo()
    info.add_itxt("Comment", HOSTILE)
    info.add_text(HOSTILE[:60].encode("latin-1", "ignore").decode("latin-1"), "named")
    image = encode(draw_pattern(), pnginfo=info) + HOSTILE.encode()
    job_id = scan(browser, served.engine, ("a.png", image, {"method": Method.RAW, "stego_probability": 0.9}))

    pages = [read_page(browser.get(f"/page/jobs/{job_id}/verdicts/0/inspection"))]
    pages.append(read_html(browser.get(f"/page/jobs/{job_id}/verdicts/0/inspection?part=true").text))

    for page in pages:
        assert_harmless(page)
        assert ESCAPED in page.text


@pytest.mark.parametrize(
    "path",
    ["/page/jobs?text=", "/page/jobs?state=", "/page/verdicts?job=", "/page/verdicts?sha256=", "/page/verdicts?cursor=",
     "/page/sign-in?next=", "/page/", "/page/jobs/", "/page/verdicts?a="],
)  # fmt: skip
def test_what_stands_in_an_address_runs_nothing(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path + quote(HOSTILE, safe=""))

    assert answer.status_code in (200, 404, 422)
    page = read_page(answer, answer.status_code)
    for field in page.find_all("input"):
        field.attributes.pop("value", None)
    assert_harmless(page)


def test_no_strangers_bytes_are_served(served: ServedApi, browser: httpx.Client) -> None:
    files = {"a.svg": SVG, "b.html": HTML, "c.png": encode_pattern("PNG") + SVG, "d.gif": b"GIF89a" + HTML}
    job_id = scan(browser, served.engine, *((name, data, {}) for name, data in files.items()))

    answers = [browser.get(f"/page/jobs/{job_id}/verdicts/{ordinal}/picture") for ordinal in range(len(files))]

    assert [answer.status_code for answer in answers] == [404, 404, 200, 404]
    assert answers[2].headers["content-type"] == "image/webp"
    assert answers[2].content.startswith(b"RIFF")
    assert all(taken not in answer.content for answer in answers for taken in (SVG, HTML, b"<svg", b"<script>"))
    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)


def test_a_stored_copy_of_another_is_no_picture_of_ones_own(served: ServedApi, browser: httpx.Client) -> None:
    image = encode_pattern("PNG")
    secret_job = scan(browser, served.engine, ("secret.png", image, {}))
    key = create_key(served.engine, "eve", ["submit", "read"])
    origin = str(browser.base_url).rstrip("/")
    # Eve knows the digest, and submits it as the reference of an image.
    uri = f"blob://{'0' * 64}/eve.png"
    submission = submit_job(served.engine, [uri], submitter="eve")
    (claim,) = claim_waiting_chunks(served.engine)
    with served.engine.connect() as connection:
        sha256 = connection.exec_driver_sql("SELECT sha256 FROM blobs LIMIT 1").scalar_one()
    verdict = NewVerdict(
        0, uri, Outcome.CLEAN, sha256=bytes(sha256), stego_probability=0.1, model_id=register_v4(served.engine)
    )
    assert finish_chunk(served.engine, claim, [verdict])
    with httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=PATIENCE_S) as eve:
        eve.post("/page/sign-in", data={"key": key})

        assert eve.get(f"/page/jobs/{secret_job}").status_code == 404
        assert eve.get(f"/page/jobs/{submission.job_id}/verdicts/0").status_code == 200
        assert eve.get(f"/page/jobs/{submission.job_id}/verdicts/0/picture").status_code == 404
        assert [row for row in read_page(eve.get("/page/verdicts")).read_rows() if "secret" in row[1]] == []


def test_a_session_that_was_planted_is_not_taken_over(served: ServedApi) -> None:
    origin = f"http://127.0.0.1:{served.port}"
    with httpx.Client(
        base_url=origin, headers={"Origin": origin, "Cookie": "starlight=planted"}, timeout=PATIENCE_S
    ) as browser:
        answer = browser.post("/page/sign-in", data={"key": served.key})
        assert "planted" not in answer.headers["set-cookie"]
        assert browser.get("/page/jobs").status_code == 303


@pytest.mark.parametrize("cookie", ["", "a" * 60_000, "\x01", "' OR 1=1 --", "%00", "ä"])
def test_a_cookie_that_is_none_of_ours_is_nobody(served: ServedApi, cookie: str) -> None:
    value = f"starlight={cookie}".encode("latin-1")
    answer = httpx.get(f"http://127.0.0.1:{served.port}/page/jobs", headers=[(b"Cookie", value)], timeout=PATIENCE_S)

    assert answer.status_code in (303, 400)


def test_a_form_of_another_site_signs_nobody_in_and_submits_nothing(served: ServedApi, browser: httpx.Client) -> None:
    elsewhere = {"Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}
    for path, data in (("/page/sign-in", {"key": served.key}), ("/page/jobs", {"name": "x"}), ("/page/sign-out", {})):
        answer = browser.post(path, content=urlencode(data), headers=elsewhere)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert browser.get("/page/jobs").status_code == 200
