"""The page in a real Chromium: dropping, reading, judging, exporting, keys, accessibility, and hostile content."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.words import BitOrder, Method, Outcome, Priority
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.models import use_model
from storage.new_verdict import NewVerdict
from storage.workers import report_worker
from tests.kit.hiding import hide_in_pixels
from tests.kit.pictures import draw_grained, encode
from tests.kit.rows import claim_waiting_chunks, register_v4, submit_job_of

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

MESSAGE = "meet <img src=x onerror=alert(1)> at\u202e noon\nby the mill"
# Drops files like a person does.
DROP = """async (images) => {
    const carried = new DataTransfer();
    for (const [name, bytes] of images) carried.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
}"""


# Drops a folder that contains a folder. The entries are faked, because Chromium makes none for a script.
DROP_FOLDER = """async (images) => {
    const files = images.map(([name, bytes]) => new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    files.push(new File(["no image"], "notes.txt", {type: "text/plain"}));
    const enter = (file) => ({isFile: true, file: (give) => give(file)});
    const folder = (entries) => ({isDirectory: true, createReader: () => {
        let left = entries;
        return {readEntries: (give) => { const now = left; left = []; give(now); }};
    }});
    const all = files.map(enter);
    const top = folder([all[0], folder(all.slice(1))]);
    const event = new Event("drop", {bubbles: true, cancelable: true});
    event.dataTransfer = {types: ["Files"], files: [], items: [{webkitGetAsEntry: () => top}]};
    document.body.dispatchEvent(event);
}"""
# Findings of axe with less impact are only advice.
FAULTS = ("serious", "critical")


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """A browser page; every error, alert and refused load in it fails the test."""
    faults: list[str] = []

    def dismiss(dialog: Any) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(base_url=address, viewport={"width": 1280, "height": 800})
        shown.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("dialog", dismiss)
        yield shown
        browser.close()
    assert faults == []


def sign_in(page: Any, key: str, path: str) -> None:
    page.goto(path)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")


def draw_images(*names: str) -> list[tuple[str, list[int]]]:
    """Return image files by name; the first one has a text in its alpha channel."""
    images = [draw_grained("RGBA", size=96, seed=seed) for seed in range(len(names))]
    hidden = b"AI42" + MESSAGE.encode() + b"\0"
    images[0] = hide_in_pixels(images[0], (3,), 1, hidden, msb_first=False, in_columns=False)
    return [(name, list(encode(image))) for name, image in zip(names, images, strict=True)]


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
    sign_in(page, create_key(engine, "ann", ["submit", "read"]), "/page/jobs")
    images = draw_images("a.png", "b.png")

    page.evaluate(DROP, images)
    page.wait_for_url("**/page/jobs/*-*")
    page.goto("/")
    page.locator("[data-live] table.jobs progress").wait_for()
    finish_with_a_message(engine)
    # An event has updated the page: no job is open any more.
    page.get_by_text("None.").wait_for()
    page.get_by_role("link", name="Verdicts").click()
    pictures = page.locator(".thumbnail img")
    page.wait_for_function("() => [...document.querySelectorAll('.thumbnail img')].every((each) => each.naturalWidth)")
    assert pictures.count() == 2
    page.get_by_role("link", name="a.png").click()

    assert page.locator("pre.text").inner_text() == MESSAGE.replace("\u202e", "\\u202e")
    # The evidence is loaded without a click.
    page.get_by_role("heading", name="Bit planes").wait_for()
    marked = page.get_by_alt_text("Bit plane: a, bit 0; the payload's pixels are orange")
    marked.scroll_into_view_if_needed()
    page.wait_for_function("(image) => image.naturalWidth === 96", arg=marked.element_handle())
    page.locator("h1").click()
    page.keyboard.press("1")
    assert page.get_by_label("true").is_checked()
    page.get_by_label("Note").fill("seen before")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="seen before").wait_for()
    with page.expect_download() as download:
        page.goto("/page/verdicts")
        page.get_by_role("link", name="Download judgements").click()
    assert "seen before" in download.value.path().read_text()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/page/sign-in")


def test_a_folder_is_dropped_and_its_images_alone_are_sent(page: Any, engine: Engine) -> None:
    sign_in(page, create_key(engine, "ann", ["submit", "read"]), "/page/jobs")

    page.evaluate(DROP_FOLDER, draw_images("a.png", "b.png"))
    page.wait_for_url("**/page/jobs/*-*")

    (claim,) = claim_waiting_chunks(engine, priority=Priority.INTERACTIVE)
    assert [uri.rpartition("/")[2] for _, uri in claim.images] == ["a.png", "b.png"]


def test_hostile_names_run_nothing_and_axe_finds_no_serious_fault(page: Any, engine: Engine) -> None:
    sign_in(page, create_key(engine, "olga", ["admin"]), "/page/jobs")
    page.evaluate(DROP, draw_images(f"{MESSAGE.replace('/', '')}.png", "b.png"))
    page.wait_for_url("**/page/jobs/*-*")
    finish_with_a_message(engine)
    job = page.url
    report_worker(engine, "<script>alert(1)</script>", "cpu0", register_v4(engine))
    use_model(engine, "shipped", "<script>alert(1)</script>")

    faults = []
    for path in ("/", "/page/jobs", job, "/page/verdicts", f"{job}/verdicts/0", "/page/model", "/page/operations"):
        for scheme, width in (("light", 1280), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(path)
            if path.endswith("verdicts/0"):
                page.get_by_role("heading", name="Bit planes").wait_for()
            found = axe.Axe().run(page).response["violations"]
            faults += [
                (path, scheme, each["id"], node["html"]) for each in found if each["impact"] in FAULTS
                for node in each["nodes"]
            ]  # fmt: skip
            # Only wide tables scroll sideways, within their own region.
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
    assert faults == []


def test_lists_are_walked_through_by_keys(page: Any, engine: Engine) -> None:
    sign_in(page, create_key(engine, "olga", ["admin"]), "/page/jobs")
    for _ in range(2):
        submit_job_of(engine, 1, submitter="olga")
    page.goto("/page/jobs")

    for key in "jkjx":
        page.keyboard.press(key)
    boxes = page.locator("input[name=job]")
    assert [boxes.nth(number).is_checked() for number in range(2)] == [False, True]
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("j?x")
    assert page.get_by_label("Name or ID").input_value() == "j?x"
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url("**/page/jobs/actions")
    assert page.get_by_role("cell", name="paused").count() == 2
