"""The model on the page: its card, judgements of its verdicts, and the distribution of its probabilities."""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.api.page.model_figures import MOST_ROWS, list_figures
from starlight_vocabulary.words import Judgement, Method
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, end_round
from storage.drift import BINS, DAYS, OF_AN_HOUR, sample_probabilities
from storage.judgements import judge
from storage.models import add_model, register_model, use_model
from tests.kit.api import Api
from tests.kit.page import Element, read_page, scan, sign_in_as
from tests.kit.pictures import encode_pattern
from tests.kit.rows import execute, register_v4
from worker.v4.card import DEFAULT_MODEL, read_card

PNG = encode_pattern("PNG")
STEGO = {"stego_probability": 0.75, "method": Method.ALPHA}


@pytest.fixture
def browser(api: Api) -> TestClient:
    """A browser that is signed in as ann."""
    return sign_in_as(api, "ann")


def use(engine: Engine, **figures: object) -> None:
    """Add the model that the tests' verdicts name, with these figures in its card, and use it."""
    card = {"name": "v4", "version": "0", "sha256": "0" * 64, "threshold": 0.5, "figures": figures}
    add_model(engine, card)
    use_model(engine, "v4-0", "olga")


def scan_four(browser: TestClient, engine: Engine) -> str:
    images: dict[str, dict[str, Any]] = {
        "a": {}, "b": STEGO, "c": {**STEGO, "stego_probability": 0.98}, "d": {"stego_probability": 0.01},
    }  # fmt: skip
    return scan(browser, engine, *((name, PNG + name.encode(), more) for name, more in images.items()))


def find_cells(page: Element) -> Sequence[tuple[str, str]]:
    """Return the vertical position and the opacity of each cell in the diagram of days."""
    return [(each.attributes["y"], each.attributes["fill-opacity"]) for each in page.find_all("rect", class_="cell")]


def test_without_a_verdict_the_card_that_ships_is_shown(browser: TestClient) -> None:
    page = read_page(browser.get("/page/model"))

    assert page.find("h1").text.startswith("starlight-v4-")
    assert page.read_facts()["In use"] == "not used yet"
    methods = {row[0] for row in page.find("main").read_rows()}
    assert {str(method) for method in Method} <= methods
    assert "images 1255" in page.shown


def test_of_models_with_the_shipped_weights_the_shipped_one_is_in_use(browser: TestClient, engine: Engine) -> None:
    card = read_card(DEFAULT_MODEL)
    for changes in ({}, {"threshold": 0.25}, {"name": "twin"}):
        add_model(engine, {**dataclasses.asdict(card), **changes})

    facts = read_page(browser.get("/page/model")).read_facts()

    assert (facts["Threshold"], facts["In use"]) == (f"{card.threshold:.5f}", "yes, on 0 workers")


def test_the_figures_of_the_model_in_use_are_those_of_its_card(browser: TestClient, engine: Engine) -> None:
    share = {"count": 1, "of": 8, "share": 0.125, "interval95": [0.01, 0.25]}
    use(engine, measured_on={"<i>": 5}, false_positives={"<b>twins</b>": share, "odd": {"count": 9, "of": 0}}, wrong=7)

    page = read_page(browser.get("/page/model"))

    assert page.find("h1").text == "v4-0"
    assert page.find("table", class_="shares").read_rows() == [
        ["<b>twins</b>", "1", "8", "12.50 %", "1.00 to 25.00", ""]
    ]
    assert "<i> 5" in page.shown
    assert page.find_all("b") == page.find_all("i") == []


def test_figures_that_are_none_and_more_than_can_be_shown_are_left_out() -> None:
    share = {"count": 1, "of": 2}
    odd = {"count": True, "of": 2}
    many = {str(number): share for number in range(2 * MOST_ROWS)}
    deep: dict[str, Any] = share
    for _ in range(50):
        deep = {"deeper": deep}

    assert [(table.title, len(table.shares)) for table in list_figures({"many": many})] == [("many", MOST_ROWS)]
    assert (
        list_figures({"a": 1, "b": [share], "c": {"count": 3, "of": 2}, "d": {"count": "1", "of": 2}, "e": deep}) == []
    )
    assert [table.title for table in list_figures({"detection_by_writer": {"alpha": {"x": share, "y": odd}}})] == [
        "detection by writer, alpha"
    ]


def test_probabilities_are_shown_by_day_and_model(browser: TestClient, engine: Engine) -> None:
    use(engine)
    scan_four(browser, engine)
    execute(engine, "UPDATE verdicts SET scanned_at = now() - interval '3 days' WHERE ordinal = 3")
    other = register_model(engine, name="v5", version="1", sha256="5" * 64, threshold=0.5)
    execute(engine, f"UPDATE verdicts SET model_id = {other} WHERE ordinal = 2")

    page = read_page(browser.get("/page/model"))
    days = page.find("table", class_="drift").read_rows()

    assert len(days) == DAYS
    assert [row[1:] for row in days if row[1] != "0"] == [["1", "0.0100", "0.00 %"], ["2", "0.5000", "0.00 %"]]
    # The probabilities are 0.01 on one day, and 0.25 and 0.75 on the last.
    assert [y for y, _ in find_cells(page)] == ["190.0", "140.0", "40.0"]
    own = read_page(browser.get(f"/page/model?id={other}"))
    assert own.find("h1").text == "v5-1"
    assert [row[1:] for row in own.find("table", class_="drift").read_rows()][-1] == ["1", "0.9800", "100.00 %"]
    assert len(own.find("table", class_="models").read_rows()) == 2


def test_of_an_hour_so_many_verdicts_are_sampled(browser: TestClient, engine: Engine) -> None:
    scan_four(browser, engine)
    execute(
        engine,
        "INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, sha256, stego_probability, model_id, scanned_at)"
        " SELECT job_id, number, 0, uri, outcome, sha256, 1, model_id, date_trunc('hour', now()) - interval '1 minute'"
        f" FROM verdicts, generate_series(10, {10 + 2 * OF_AN_HOUR}) AS number WHERE ordinal = 0",
    )

    found = sample_probabilities(engine)

    assert sum(sample.images for sample in found) == OF_AN_HOUR + 4
    assert sum(sample.bins[BINS - 1] for sample in found) == OF_AN_HOUR + 1
    assert {sample.model_id for sample in found} == {register_v4(engine)}


def test_what_people_say_is_counted(browser: TestClient, api: Api, engine: Engine) -> None:
    use(engine)
    job_id = uuid.UUID(scan_four(browser, engine))
    words = [Judgement.TRUE, Judgement.FALSE, Judgement.TRUE, Judgement.UNSURE]
    for ordinal, word in enumerate(words):
        judge(engine, job_id, ordinal, Judgement.UNSURE, "", "ann")
        judge(engine, job_id, ordinal, word, "", "ann")
    judge(engine, job_id, 1, Judgement.TRUE, "", "bob")

    page = read_page(browser.get("/page/model"))

    assert page.find("table", class_="judged").read_rows() == [
        ["clean", "1", "0", "1", "100.0 %"], ["stego, alpha", "2", "1", "0", "66.7 %"],
    ]  # fmt: skip
    assert page.find("table", class_="reliability").read_rows() == [
        ["1", "0.2500", "0.0 %"], ["2", "0.7500", "50.0 %"], ["1", "0.9800", "100.0 %"],
    ]  # fmt: skip
    assert len(page.find("svg", class_="reliability").find_all("circle")) == 3
    other = read_page(sign_in_as(api, "bob").get("/page/model"))
    assert other.find_all("table", class_="judged") == []
    assert read_page(sign_in_as(api, "root", "admin").get("/page/model")).find("table", class_="judged")


@pytest.mark.parametrize(("query", "status"), [("id=77", 404), ("id=0", 422), ("id=x", 422), (f"id={2**31}", 422)])
def test_a_model_that_is_not_there_is_no_fault(browser: TestClient, query: str, status: int) -> None:
    read_page(browser.get(f"/page/model?{query}"), status)


def test_canaries_are_counted_by_model_and_method(browser: TestClient, engine: Engine) -> None:
    use(engine)
    own, other = f"v4-0@sha256:{'0' * 64}", f"v5-1@sha256:{'5' * 64}"
    answers = [
        CanaryAnswer("a", None, CanaryResult.RIGHT, model=own), CanaryAnswer("b", None, CanaryResult.WRONG, model=own),
        CanaryAnswer("c", Method.ALPHA, CanaryResult.RIGHT, model=own),
        CanaryAnswer("d", Method.ALPHA, CanaryResult.UNREAD, model=own),
        CanaryAnswer("e", Method.ALPHA, CanaryResult.WRONG, model=own),
        CanaryAnswer("f", Method.RAW, CanaryResult.RIGHT, model=other),
        CanaryAnswer("g", Method.RAW, CanaryResult.MISSING), CanaryAnswer("h", None, CanaryResult.ERROR),
    ]  # fmt: skip
    for _ in range(2):
        round_id = begin_round(engine, 1, 0.0)
        assert round_id is not None
        end_round(engine, round_id, uuid.uuid4(), answers)

    page = read_page(browser.get("/page/model"))

    assert page.find("table", class_="canaries").read_rows() == [
        ["none", "4", "2", "50.00 %", ""], ["alpha", "6", "4", "66.67 %", "2"],
    ]  # fmt: skip
    assert "4 ended as errors or were too late" in page.shown
