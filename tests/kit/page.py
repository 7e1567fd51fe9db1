"""The browser's side of the page: signed-in clients, and HTML as a tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
from sqlalchemy import Engine
from starlette.testclient import TestClient

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.new_verdict import NewVerdict
from storage.submission import submit_job
from tests.kit.api import Api
from tests.kit.pictures import encode_pattern
from tests.kit.rows import claim_waiting_chunks, register_v4

ORIGIN = {"Origin": "http://testserver"}
PNG = encode_pattern("PNG")
MESSAGE = "k\u202eey\x07\nunder <b>the</b> mat"
STEGO = {
    "stego_probability": 0.75,
    "method": Method.ALPHA,
    "bit_order": BitOrder.LSB_FIRST,
    "extracted_message": MESSAGE,
    "format": "PNG",
    "width": 8,
    "height": 8,
    "size_bytes": 1234,
}
FAILED = {"error_code": ErrorCode.EMPTY, "error_detail": "=no <i>bytes</i>"}
VOID = {"br", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    """An element with its children."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in the element."""
        return "".join(each if isinstance(each, str) else each.text for each in self.children)

    @property
    def shown(self) -> str:
        """All text in the element, with whitespace collapsed."""
        return " ".join(self.text.split())

    def find_all(self, tag: str, /, **attributes: str) -> "list[Element]":
        """Return the elements with this tag and these attributes; `class_` is one of their classes."""
        wanted = attributes.pop("class_", None)
        found = []
        for child in self.children:
            if isinstance(child, Element):
                has_class = wanted is None or wanted in child.attributes.get("class", "").split()
                if child.name == tag and has_class and attributes.items() <= child.attributes.items():
                    found.append(child)
                found += child.find_all(tag, **attributes, **({"class_": wanted} if wanted else {}))
        return found

    def find(self, tag: str, /, **attributes: str) -> "Element":
        """Return the first element that `find_all` finds; fails if there is none."""
        found = self.find_all(tag, **attributes)
        assert found, f"there is no {tag} {attributes} in {self.shown}"
        return found[0]

    def read_rows(self) -> list[list[str]]:
        """Return the text of each `td` cell, by rows."""
        return [[cell.shown for cell in row.find_all("td")] for row in self.find_all("tr") if row.find_all("td")]

    def read_facts(self) -> dict[str, str]:
        """Return the descriptions in its `dl` lists, by term."""
        terms = [each.shown for each in self.find_all("dt")]
        return dict(zip(terms, [each.shown for each in self.find_all("dd")], strict=True))


class Reader(HTMLParser):
    """Builds a tree; fails if elements are not nested correctly."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(text: str) -> Element:
    """Return HTML as a tree."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].name}> is open"
    return reader.open[0]


def read_page(response: httpx.Response, status: int = 200) -> Element:
    """Check that the response is an HTML page, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return read_html(response.text)


def open_browser(api: Api) -> TestClient:
    """Return a client that is not signed in, sends `Origin` as browsers do, and follows no redirects."""
    return TestClient(api.app, headers=ORIGIN, follow_redirects=False, raise_server_exceptions=False)


@contextmanager
def run_page_as(api: Api, name: str, *scopes: str) -> Iterator[TestClient]:
    """Yield a browser that is signed in with a new key, with the application's lifespan running."""
    cookies = dict(sign_in_as(api, name, *scopes).cookies)
    with TestClient(api.app, headers=ORIGIN, cookies=cookies, follow_redirects=False) as browser:
        yield browser


def sign_in_as(api: Api, name: str, *scopes: str) -> TestClient:
    """Return a browser that is signed in with a new key."""
    browser = open_browser(api)
    key = create_key(api.service.engine, name, scopes or ("submit", "read"))
    answer = browser.post("/page/sign-in", data={"key": key})
    assert answer.status_code == 303, answer.text
    return browser


def scan(browser: httpx.Client, engine: Engine, *images: tuple[str, bytes, dict[str, Any]]) -> str:
    """Submit images through the page and store a verdict on each; return the job's id.

    The mapping of each image has fields of its verdict: with a `method` it is stego, with an `error_code` an error.
    """
    files = [("images", (name, data)) for name, data, _ in images]
    answer = browser.post("/page/jobs", files=files)
    assert answer.status_code == 303, answer.text
    (claim,) = claim_waiting_chunks(engine)
    verdicts = []
    for (ordinal, uri), (_, _, more) in zip(claim.images, images, strict=True):
        scored = {
            "sha256": bytes.fromhex(uri.split("/")[2]),
            "stego_probability": 0.25,
            "model_id": register_v4(engine),
        }
        outcome = Outcome.ERROR if "error_code" in more else Outcome.STEGO if "method" in more else Outcome.CLEAN
        known: dict[str, Any] = more if outcome is Outcome.ERROR else {**scored, **more}
        verdicts.append(NewVerdict(ordinal, uri, outcome, **known))
    assert finish_chunk(engine, claim, verdicts)
    return answer.headers["location"].rpartition("/")[2]


def scan_each_outcome(browser: httpx.Client, engine: Engine) -> str:
    """Scan a clean image, an image with a message, and an empty file; return the job's id."""
    return scan(browser, engine, ("clean.png", PNG, {}), ("s ä.png", PNG + b"2", STEGO), ("x.png", b"", FAILED))


def act_on_jobs(browser: httpx.Client, action: str, *jobs: object) -> httpx.Response:
    """Send an action on jobs, like the form of the list."""
    return browser.post("/page/jobs/actions", data={"action": action, "job": list(map(str, jobs))})


def submit_named(engine: Engine, name: str, submitter: str = "ann") -> str:
    """Submit a job of one image with this name; return its id."""
    return str(submit_job(engine, ["file:///a.png"], JobOptions(name=name), submitter=submitter).job_id)


def list_job_names(browser: httpx.Client, query: str = "") -> list[str]:
    """Return the names of the jobs that the page lists."""
    return [row[1] for row in read_page(browser.get(f"/page/jobs{query}")).read_rows()]
