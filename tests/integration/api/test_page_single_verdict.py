"""One verdict on the page: what is known of it, its picture, and what people say of it."""

import io
import json
from collections.abc import Iterator

import pytest
from PIL import Image
from sqlalchemy import Engine
from starlette.testclient import TestClient

from storage.chunks import finish_chunk
from storage.version import VERSION
from tests.kit.api import Api
from tests.kit.page import MESSAGE, PNG, read_page, run_page_as, scan, scan_each_outcome, sign_in_as
from tests.kit.pictures import draw_pattern, encode, encode_truncated
from tests.kit.rows import claim_waiting_chunks, execute, make_verdicts, submit_job_of


@pytest.fixture
def browser(api: Api) -> Iterator[TestClient]:
    """A browser that is signed in as ann, with the application's lifespan running."""
    with run_page_as(api, "ann") as client:
        yield client


@pytest.fixture
def job_id(browser: TestClient, engine: Engine) -> str:
    return scan_each_outcome(browser, engine)


def test_one_verdict_is_shown_with_its_provenance(browser: TestClient, job_id: str) -> None:
    page = read_page(browser.get(f"/page/jobs/{job_id}/verdicts/1"))

    facts = page.read_facts()
    assert page.find("h1").text == "s ä.png"
    assert facts["Outcome"] == "stego"
    assert facts["Probability"] == "0.750000, threshold 0.5"
    assert facts["Method"] == "alpha, lsb-first"
    assert (facts["Model"], facts["Weights"]) == ("v4-0", f"sha256:{'0' * 64}")
    assert (facts["Worker"], facts["Attempt"]) == (f"cpu0@here, version {VERSION}", "1")
    assert "Chunk lost" not in facts
    assert facts["Image"] == "PNG, 8 × 8, 1 234 bytes"  # noqa: RUF001 - the sign of a multiplication
    assert facts["Job"] == f"{job_id}, image 2 of 3"
    assert facts["Submitter"].startswith("ann, ")
    message = page.find("pre", class_="text")
    assert message.text == "k\\u202eey\\x07\nunder <b>the</b> mat"
    assert message.find_all("b") == []
    assert page.find("pre", class_="hex").text.splitlines() == [
        "000000  6b e2 80 ae 65 79 07 0a 75 6e 64 65 72 20 3c 62  k...ey..under <b",
        "000010  3e 74 68 65 3c 2f 62 3e 20 6d 61 74              >the</b> mat",
    ]


def test_a_verdict_names_the_worker_that_stored_it_and_not_who_claimed_its_chunk_last(
    browser: TestClient, engine: Engine
) -> None:
    job_id = submit_job_of(engine, 2, chunk_size=2)
    (claim,) = claim_waiting_chunks(engine, "cpu0@first")
    finish_chunk(engine, claim, make_verdicts(engine, claim)[:1], put_off_s=0)
    (again,) = claim_waiting_chunks(engine, "gpu1@second")
    finish_chunk(engine, again, make_verdicts(engine, again))
    execute(engine, "UPDATE chunks SET losses = 2")

    first, second = (read_page(browser.get(f"/page/jobs/{job_id}/verdicts/{ordinal}")) for ordinal in (0, 1))

    assert first.read_facts()["Worker"].startswith("cpu0@first, ")
    assert second.read_facts()["Worker"].startswith("gpu1@second, ")
    assert first.read_facts()["Chunk lost"] == "2 times"


def test_an_error_is_explained(browser: TestClient, job_id: str) -> None:
    facts = read_page(browser.get(f"/page/jobs/{job_id}/verdicts/2")).read_facts()

    assert facts["Error"] == "empty: the file has no bytes"
    assert facts["Detail"] == "=no <i>bytes</i>"
    assert facts["Model"] == "none"


def test_verdicts_on_the_same_bytes_lead_to_each_other(browser: TestClient, engine: Engine, job_id: str) -> None:
    again = scan(browser, engine, ("again.png", PNG, {}))

    page = read_page(browser.get(f"/page/jobs/{again}/verdicts/0"))

    (row,) = page.find("table", class_="same").read_rows()
    assert row[:2] == ["clean.png", "clean"]
    assert page.find("table", class_="same").find("a").attributes["href"] == f"/page/jobs/{job_id}/verdicts/0"


@pytest.mark.parametrize("ordinal", ["3", "-1", "x", str(2**31), "99999999999999999999"])
def test_a_verdict_that_is_not_there_is_no_fault(browser: TestClient, job_id: str, ordinal: str) -> None:
    assert browser.get(f"/page/jobs/{job_id}/verdicts/{ordinal}").status_code in (404, 422)


def test_a_picture_is_made_anew(browser: TestClient, engine: Engine) -> None:
    secret = b"<script>alert(1)</script>"
    large = encode(draw_pattern("RGBA", (1500, 300)), "PNG") + secret
    damaged = encode_truncated("PNG", kept=0.8)
    job_id = scan(browser, engine, ("large.png", large, {}), ("cut.png", damaged, {}), ("no.png", b"no image", {}))

    answers = [browser.get(f"/page/jobs/{job_id}/verdicts/0/picture{size}") for size in ("", "?size=small")]

    sizes = [Image.open(io.BytesIO(answer.content)).size for answer in answers]
    assert sizes == [(1024, 205), (112, 22)]
    for answer in answers:
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].endswith("; sandbox")
        assert secret not in answer.content
    assert browser.get(f"/page/jobs/{job_id}/verdicts/1/picture").headers["content-type"] == "image/webp"
    assert "no picture" in read_page(browser.get(f"/page/jobs/{job_id}/verdicts/2/picture"), 404).shown


def test_a_picture_that_is_gone_is_told(browser: TestClient, engine: Engine, job_id: str) -> None:
    execute(engine, "DELETE FROM job_blobs")

    page = read_page(browser.get(f"/page/jobs/{job_id}/verdicts/0"))

    assert page.find_all("img") == []
    assert "The image is not stored" in page.shown
    assert browser.get(f"/page/jobs/{job_id}/verdicts/0/picture").status_code == 404


def test_what_people_say_of_a_verdict_stands_beside_it(browser: TestClient, engine: Engine, job_id: str) -> None:
    form = read_page(browser.get(f"/page/jobs/{job_id}/verdicts/1")).find("form", class_="judge")
    offered = [each.attributes["value"] for each in form.find_all("input", type="radio")]
    for judgement, note in (("unsure", ""), ("false", "a <i>watermark</i>\u202e\nof a tool")):
        answer = browser.post(form.attributes["action"], data={"judgement": judgement, "note": note})
        assert answer.headers["location"] == f"/page/jobs/{job_id}/verdicts/1"
    browser.post(f"/page/jobs/{job_id}/verdicts/0/judgements", data={"judgement": "true"})

    page = read_page(browser.get(answer.headers["location"]))
    rows = [row[:3] for row in page.find("table", class_="judgements").read_rows()]
    labels = [json.loads(line) for line in browser.get("/page/labels").text.splitlines()]

    assert offered == ["true", "false", "unsure"]
    assert rows == [["false", "a <i>watermark</i>\\u202e of a tool", "ann"], ["unsure", "", "ann"]]
    assert page.read_facts()["Outcome"] == "stego"
    assert [(each["ordinal"], each["judgement"], each["is_stego"]) for each in labels] == [
        (1, "false", False), (0, "true", False),
    ]  # fmt: skip
    assert {each["judged_by"] for each in labels} == {"ann"}
    assert [each["extracted_message"] for each in labels] == [MESSAGE, None]
    assert (
        labels[0] | {"stego_type": "alpha", "bit_order": "lsb-first", "model": f"v4-0@sha256:{'0' * 64}"} == labels[0]
    )


@pytest.mark.parametrize(
    "data",
    [{}, {"judgement": "maybe"}, {"judgement": "true", "note": "a\0"}, {"judgement": "true", "note": "a" * 2001}],
)
def test_a_judgement_that_cannot_be_used_is_not_stored(browser: TestClient, job_id: str, data: dict[str, str]) -> None:
    answer = browser.post(f"/page/jobs/{job_id}/verdicts/1/judgements", data=data)

    assert read_page(answer, 422).find("li").find("code").text.startswith("body.")
    assert browser.get("/page/labels").text == ""


def test_who_may_only_read_judges_nothing(api: Api, engine: Engine) -> None:
    with run_page_as(api, "carl") as browser:
        job_id = scan(browser, engine, ("clean.png", PNG, {}))
    browser = sign_in_as(api, "dora", "read")
    execute(engine, "UPDATE jobs SET submitter = 'dora'")

    assert read_page(browser.get(f"/page/jobs/{job_id}/verdicts/0")).find("main").find_all("form") == []
    assert browser.post(f"/page/jobs/{job_id}/verdicts/0/judgements", data={"judgement": "true"}).status_code == 403
