"""The page in a real Chromium: signed in, images dropped, a message read and judged; nothing hostile runs."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.words import BitOrder, Method, Outcome, Priority
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.new_verdict import NewVerdict
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import claim_waiting_chunks, register_v4

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

MESSAGE = "meet <img src=x onerror=alert(1)> at\u202e noon\nby the mill"
# Files as a hand that drops them brings them.
DROP = """async (images) => {
    const carried = new DataTransfer();
    for (const [name, bytes] of images) carried.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
}"""


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """A page whose every error, alert and refused load fails the test."""
    faults: list[str] = []

    def dismiss(dialog: Any) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    with sync_api.sync_playwright() as playwright:
        # Root has no sandbox of Chromium's.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(base_url=address, viewport={"width": 1280, "height": 800})
        shown.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("dialog", dismiss)
        yield shown
        browser.close()
    assert faults == []


def finish_with_a_message(engine: Engine) -> None:
    (claim,) = claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
    verdicts = []
    for ordinal, uri in claim.images:
        known: dict[str, Any] = {"sha256": bytes.fromhex(uri.split("/")[2]), "model_id": register_v4(engine)}
        stego: dict[str, Any] = {
            "stego_probability": 0.98, "method": Method.ALPHA, "bit_order": BitOrder.LSB_FIRST,
            "extracted_message": MESSAGE,
        }  # fmt: skip
        outcome, more = (Outcome.STEGO, stego) if ordinal == 0 else (Outcome.CLEAN, {"stego_probability": 0.01})
        verdicts.append(NewVerdict(ordinal, uri, outcome, **known, **more))
    assert finish_chunk(engine, claim, verdicts)


def test_images_are_dropped_and_what_they_hide_is_read_and_judged(page: Any, engine: Engine) -> None:
    key = create_key(engine, "ann", ["submit", "read"])
    images = [(f"{name}.png", list(encode(draw_grained(size=96, seed=seed)))) for seed, name in enumerate("ab")]

    page.goto("/page/jobs")
    page.get_by_label("Key of the API").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/page/jobs")
    page.evaluate(DROP, images)
    page.wait_for_url("**/page/jobs/*-*")
    page.goto("/")
    page.locator("[data-live] table.jobs progress").wait_for()
    finish_with_a_message(engine)
    # Brought by an event: the job is open no more.
    page.get_by_text("None.").wait_for()
    page.get_by_role("link", name="Verdicts").click()
    pictures = page.locator(".thumbnail img")
    page.wait_for_function("() => [...document.querySelectorAll('.thumbnail img')].every((each) => each.naturalWidth)")
    assert pictures.count() == 2
    page.get_by_role("link", name="a.png").click()

    assert page.locator("pre.text").inner_text() == MESSAGE.replace("\u202e", "\\u202e")
    page.get_by_label("true").check()
    page.get_by_label("Note").fill("seen before")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("cell", name="seen before").wait_for()
    with page.expect_download() as download:
        page.goto("/page/verdicts")
        page.get_by_role("link", name="people's judgements").click()
    assert "seen before" in download.value.path().read_text()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/page/sign-in")
