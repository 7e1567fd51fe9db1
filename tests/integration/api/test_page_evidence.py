"""The evidence of a verdict on the page: bit planes with the payload marked, bytes, metadata, findings."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine
from starlette.testclient import TestClient

from starlight_vocabulary.payload import Member
from starlight_vocabulary.words import BitOrder, Method
from tests.kit.api import Api
from tests.kit.hiding import TEXTS, hide_in_pixels, make_full_png
from tests.kit.page import Element, read_html, read_page, run_page_as, scan, sign_in_as
from tests.kit.payloads import make_payload
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import execute

HIDDEN = b"AI42look <b>behind</b> you\0"
PAYLOAD = make_payload(header="AI42", offset=4, detail="<b>", truncated=True, listing=[Member("<i>.txt", 7)])
ALPHA = {"stego_probability": 0.99, "method": Method.ALPHA, "bit_order": BitOrder.LSB_FIRST, "payload": PAYLOAD}


@pytest.fixture
def browser(api: Api) -> Iterator[TestClient]:
    """A browser that is signed in as ann, with the application's lifespan running."""
    with run_page_as(api, "ann") as client:
        yield client


@pytest.fixture
def address(browser: TestClient, engine: Engine) -> str:
    """The path of a verdict on an image with a text in its alpha channel and another one after its end."""
    image = hide_in_pixels(draw_grained("RGBA", size=40), (3,), 1, HIDDEN, msb_first=False, in_columns=False)
    job_id = scan(browser, engine, ("a.png", encode(image) + b"<i>and</i> more\0", ALPHA), ("b.png", b"no image", {}))
    return f"/page/jobs/{job_id}/verdicts/0"


def open_evidence(browser: TestClient, address: str) -> Element:
    """Return the page that the verdict's link to the evidence leads to."""
    link = read_page(browser.get(address)).find("section", class_="evidence").find("a").attributes["href"]
    return read_page(browser.get(link))


def test_the_payload_is_marked_in_its_bit_plane_and_in_its_bytes(browser: TestClient, address: str) -> None:
    page = open_evidence(browser, address)

    sources = [each.attributes["src"] for each in page.find("main").find_all("img")]
    start, lowest = sources[:2]
    assert (start, lowest) == (f"{address}/planes/a-bit-0?near=true", f"{address}/planes/a-bit-0")
    assert len(set(sources)) == 1 + 4 * 8
    drawn = Image.open(io.BytesIO(browser.get(lowest).content))
    assert int((np.asarray(drawn) >> 1).sum()) == 8 * (len(HIDDEN) - 1)
    assert Image.open(io.BytesIO(browser.get(start).content)).size == (40, 32)
    carrier, trailing = page.find_all("pre", class_="hex")
    marks = [each.text for each in carrier.find_all("mark")]
    assert bytes.fromhex("".join(marks[::2])) == HIDDEN[:-1]
    assert "".join(marks[1::2]) == HIDDEN[:-1].decode()
    assert trailing.text == "000000  3c 69 3e 61 6e 64 3c 2f 69 3e 20 6d 6f 72 65 00  <i>and</i> more."
    assert page.find_all("b") == page.find_all("i") == []


def test_everything_else_is_listed(browser: TestClient, engine: Engine) -> None:
    job_id = scan(browser, engine, ("a.png", make_full_png(), {}))

    page = open_evidence(browser, f"/page/jobs/{job_id}/verdicts/0")

    metadata = {row[1]: row[4] for row in page.find("table", class_="metadata").read_rows()}
    assert metadata["tEXt 'Author'"] == TEXTS["tEXt 'Author'"]
    assert metadata["EXIF UserComment"] == TEXTS["EXIF UserComment"]
    found = {row[1]: row[4] for row in page.find("table", class_="found").read_rows()}
    assert found["B,G,R, 2 bits, msb-first, columns"] == TEXTS["B,G,R, 2 bits, msb-first, columns"]
    assert found["after the image's end"] == TEXTS["after the image's end"]
    # For a clean image, no bytes are shown for a method, and no plane is marked.
    assert len(page.find_all("pre", class_="hex")) == 1
    assert page.find_all("figure", class_="near") == []


def test_the_part_for_the_verdicts_page_is_no_page_of_its_own(browser: TestClient, address: str) -> None:
    section = read_page(browser.get(address)).find("section", class_="evidence")

    answer = browser.get(section.attributes["data-load"])

    part = read_html(answer.text)
    assert (part.find_all("main"), part.find_all("h1")) == ([], [])
    assert len(part.find_all("img")) == 33


def test_a_verdict_says_how_its_message_was_read(browser: TestClient, address: str) -> None:
    facts = read_page(browser.get(address)).find("dl", class_="payload").read_facts()

    assert facts == {
        "Kind": "text", "Header": "AI42", "Decoded from": "utf-8", "Bytes": "5, from byte 4 of the carrier on",
        "Closed by": "a zero byte", "Detail": "<b>", "Members": "<i>.txt, 7 bytes",
        "Truncated": "there is more than is shown",
    }  # fmt: skip


def test_a_picture_that_the_browser_has_is_not_made_again(browser: TestClient, engine: Engine, address: str) -> None:
    for path in (f"{address}/picture", f"{address}/picture?size=small", f"{address}/planes/r-bit-7"):
        first = browser.get(path)
        again = browser.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
        other = browser.get(path, headers={"If-None-Match": '"0"'})
        assert (other.status_code, other.content) == (200, first.content)
    execute(engine, "DELETE FROM job_blobs")
    assert browser.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 404


@pytest.mark.parametrize("name", ["x-bit-0", "a-bit-8", "a-bit-0.png", "..%2fa-bit-0", "A-BIT-0", "a" * 300])
def test_a_bit_plane_that_is_not_there_is_a_problem(browser: TestClient, address: str, name: str) -> None:
    assert browser.get(f"{address}/planes/{name}").status_code in (404, 422)


def test_what_is_no_image_or_gone_is_told(browser: TestClient, engine: Engine, address: str) -> None:
    other = address.removesuffix("0") + "1"

    assert "cannot be inspected: unknown_format" in read_page(browser.get(f"{other}/inspection"), 422).shown
    assert browser.get(f"{other}/planes/r-bit-0").status_code == 404
    execute(engine, "DELETE FROM job_blobs")
    for path in ("inspection", "planes/r-bit-0", "picture"):
        assert "not stored" in read_page(browser.get(f"{address}/{path}"), 404).shown
    assert read_page(browser.get(address)).find_all("section", class_="evidence") == []


def test_evidence_of_others_is_not_there(api: Api, browser: TestClient, address: str) -> None:
    bob = sign_in_as(api, "bob")

    for path in ("inspection", "planes/a-bit-0", "picture"):
        assert bob.get(f"{address}/{path}").status_code == 404
