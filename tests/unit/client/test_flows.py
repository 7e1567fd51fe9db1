"""The requests of the client step by step, and its reaction to failures, without a server, clock or event loop."""

import json
import logging
import uuid
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent

from starlight_client import JobReport, RefusedError, Starlight, UnreadableAnswerError, Verdict, exchanges, flows
from starlight_client.exchanges import Backoff, OpenEvents, Pause, ReadEvent, Request, resume
from starlight_vocabulary.verdict import EXAMPLE
from starlight_vocabulary.words import Outcome

JOB_ID = uuid.UUID(str(EXAMPLE["job_id"]))
JOB = {
    "id": str(JOB_ID), "name": None, "submitter": "ann", "priority": "bulk", "threshold": None, "state": "running",
    "total": 2, "finished": 1, "clean": 0, "stego": 1, "error": 0, "created_at": "2026-06-01T12:00:00+00:00",
    "started_at": None, "finished_at": None, "retry_of": None, "images_per_minute": None, "seconds_left": None,
    "links": {"job": "/v1/jobs/1", "verdicts": "/v1/jobs/1/verdicts", "events": "/v1/jobs/1/events"},
}  # fmt: skip
LOST = httpx.ReadError("the connection was lost")
OPENED = httpx.Response(200)


def make_event(name: str, data: dict[str, Any], event_id: str = "") -> ServerSentEvent:
    return ServerSentEvent(name, json.dumps(data), event_id)


def make_answer(data: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=data)


@pytest.mark.parametrize("broken", [LOST, None], ids=["a lost connection", "a server that stops"])
def test_a_stream_of_events_goes_on_behind_the_last_one(broken: httpx.TransportError | None) -> None:
    flow = flows.follow_job(JOB_ID)

    assert resume(flow, None) == OpenEvents(f"/v1/jobs/{JOB_ID}/events", "")
    assert resume(flow, OPENED) == ReadEvent()
    found = resume(flow, make_event("verdict", EXAMPLE, "256-7"))
    assert isinstance(found, Verdict)
    assert (found.ordinal, found.stego_type) == (7, "alpha")
    assert resume(flow, None) == ReadEvent()
    assert isinstance(resume(flow, broken), Pause)
    again = resume(flow, None)
    assert isinstance(again, OpenEvents)
    assert again.headers == {"Last-Event-ID": "256-7"}
    assert resume(flow, OPENED) == ReadEvent()
    assert resume(flow, make_event("of a later release", {})) == ReadEvent()
    assert isinstance(resume(flow, make_event("done", JOB, "done")), JobReport)
    assert resume(flow, None) is None


def test_a_stream_that_breaks_without_any_event_is_given_up() -> None:
    flow = flows.follow_job(JOB_ID)
    resume(flow, None)
    for _ in range(exchanges.TRIES - 1):
        assert resume(flow, OPENED) == ReadEvent()
        assert isinstance(resume(flow, LOST), Pause)
        assert isinstance(resume(flow, None), OpenEvents)
    resume(flow, OPENED)

    with pytest.raises(httpx.ReadError):
        resume(flow, LOST)


def test_an_event_shows_that_the_server_is_well_again() -> None:
    flow = flows.follow_job(JOB_ID)
    resume(flow, None)

    for number in range(2 * exchanges.TRIES):
        assert resume(flow, OPENED) == ReadEvent()
        assert isinstance(resume(flow, make_event("progress", JOB, str(number))), JobReport)
        resume(flow, None)
        assert isinstance(resume(flow, LOST), Pause)
        assert resume(flow, None) == OpenEvents(f"/v1/jobs/{JOB_ID}/events", str(number))


def test_a_request_is_sent_again_as_it_was() -> None:
    exchange = flows.submit_references(["https://example.com/1.png"], flows.DEFAULTS)
    first = exchange.send(None)
    assert isinstance(first, Request)
    assert first.headers["Idempotency-Key"]

    for failure in (LOST, httpx.Response(503), httpx.Response(429, headers={"Retry-After": "7"})):
        assert isinstance(exchange.send(failure), Pause)
        assert exchange.send(None) is first

    with pytest.raises(StopIteration) as ended:
        exchange.send(make_answer(JOB))
    assert ended.value.value.id == JOB_ID


def test_pages_are_followed_to_the_last() -> None:
    flow = flows.find_verdicts({"outcome": Outcome.STEGO, "method": None})

    first = resume(flow, None)
    assert isinstance(first, Request)
    assert (first.url, first.params) == ("/v1/verdicts", {"limit": flows.PAGE, "outcome": "stego"})
    found = resume(flow, make_answer({"verdicts": [EXAMPLE], "next": "/v1/verdicts?cursor=2"}))
    assert isinstance(found, Verdict)
    assert resume(flow, None) == Request("GET", "/v1/verdicts?cursor=2")
    assert resume(flow, make_answer({"verdicts": [], "next": None})) is None


def test_no_more_is_asked_for_than_the_limit() -> None:
    flow = flows.find_verdicts({}, 3)
    page = make_answer({"verdicts": [EXAMPLE] * 2, "next": "/v1/verdicts?cursor=2"})

    first = resume(flow, None)
    found = [resume(flow, page), resume(flow, None)]
    assert resume(flow, None) == Request("GET", "/v1/verdicts?cursor=2")
    found.append(resume(flow, page))

    assert isinstance(first, Request)
    assert first.params == {"limit": 3}
    assert [type(each) for each in found] == [Verdict] * 3
    assert resume(flow, None) is None
    assert resume(flows.find_verdicts({}, 0), None) is None


def test_a_job_is_looked_at_less_and_less_often_and_found_where_it_changed() -> None:
    flow = flows.watch_job(JOB_ID)
    pauses = []

    resume(flow, None)
    assert isinstance(resume(flow, make_answer(JOB)), JobReport)
    step = resume(flow, None)
    for seconds_left in range(20):
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        assert isinstance(resume(flow, None), Request)
        step = resume(flow, make_answer({**JOB, "seconds_left": float(seconds_left)}))
    resume(flow, None)
    ended = resume(flow, make_answer({**JOB, "state": "done", "finished": 2}))

    assert pauses[0] == flows.FIRST_POLL_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == flows.LONGEST_POLL_S
    assert isinstance(ended, JobReport)
    assert resume(flow, None) is None


@pytest.mark.parametrize(("status", "retry_after", "failures", "least", "most"), [
    (429, "7", 1, 7, 7), (503, "150", 1, 30, 30), (503, None, 1, 0.25, 0.5), (502, None, 4, 2, 4),
    (408, None, 5, 4, 8), (429, "Wed, 21 Oct 2026 07:28:00 GMT", 2, 0.5, 1),
])  # fmt: skip
def test_pauses_are_those_the_server_names_or_grow(
    status: int, retry_after: str | None, failures: int, least: float, most: float
) -> None:
    backoff = Backoff()
    answer = httpx.Response(status, headers={"Retry-After": retry_after} if retry_after else {})

    pause = [backoff.pause_after(answer) for _ in range(failures)][-1]

    assert least <= pause.seconds <= most


def test_the_last_failure_is_raised_and_so_is_one_that_would_come_again() -> None:
    backoff = Backoff()
    for _ in range(exchanges.TRIES - 1):
        backoff.pause_after(LOST)

    with pytest.raises(httpx.ReadError):
        backoff.pause_after(LOST)
    backoff.reset()
    assert isinstance(backoff.pause_after(LOST), Pause)
    with pytest.raises(RefusedError, match="422 Unprocessable Entity: no"):
        backoff.pause_after(httpx.Response(422, text="no"))
    with pytest.raises(RefusedError, match="429 Too Many Requests: tomorrow"):
        backoff.pause_after(httpx.Response(429, text="tomorrow", headers={"Retry-After": "151"}))


@pytest.mark.parametrize(("failure", "reason"), [
    (LOST, "the connection was lost"), (httpx.ReadTimeout(""), "ReadTimeout"),
    (httpx.Response(502, text="<html>\n<body>"), "502 Bad Gateway: <html>"),
])  # fmt: skip
def test_each_retry_is_logged_with_its_reason_in_one_line(
    failure: httpx.Response | httpx.TransportError, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    pause = Backoff().pause_after(failure)

    told = f"the request failed ({reason}): try 2 of 6 in {pause.seconds:.1f} s"
    assert caplog.record_tuples == [("starlight_client.exchanges", logging.WARNING, told)]


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "127.0.0.1:8080", "http://127.0.0.1:port", "http://", "ftp://here"]
)
def test_an_address_that_cannot_be_one_is_refused_at_once(url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol, match="is not the address of an API"):
        Starlight(url, "key")


@pytest.mark.parametrize("key", ["", "key\n", " key", "schlüssel"])
def test_a_key_that_no_header_can_contain_is_refused_at_once(key: str) -> None:
    with pytest.raises(httpx.LocalProtocolError, match="the key is sent in a header"):
        Starlight("http://127.0.0.1:8080", key)


def test_one_reference_instead_of_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match=r"references must be a list, such as \['s3://here/1.png'\]"):
        next(flows.submit_references("s3://here/1.png", flows.DEFAULTS))


def test_a_refusal_is_a_problem_document_where_there_is_one() -> None:
    problem = {"title": "Not Found", "detail": "there is no such job", "status": 404}

    refusal = exchanges.make_refusal(httpx.Response(404, json=problem))

    assert (refusal.status, refusal.problem, str(refusal)) == (404, problem, "404 Not Found: there is no such job")


@pytest.mark.parametrize(("content", "kind", "told"), [
    (b"no healthy upstream\n", "text/plain", "503 Service Unavailable: no healthy upstream"),
    (b"", "", "503 Service Unavailable"),
    (b"<html>" * 99, "text/html; charset=utf-8", "503 Service Unavailable: the answer is text/html, and not from a"),
])  # fmt: skip
def test_a_refusal_by_another_program_is_told_as_text(content: bytes, kind: str, told: str) -> None:
    refusal = exchanges.make_refusal(httpx.Response(503, content=content, headers={"Content-Type": kind}))

    assert str(refusal).startswith(told)
    assert len(str(refusal).splitlines()) == 1
    assert len(str(refusal)) < 150


@pytest.mark.parametrize("answer", [
    b"<html>", b"\xff", b"[]", b"null", b"{}", json.dumps({**JOB, "id": 7}).encode(),
    json.dumps({**JOB, "created_at": None}).encode(), json.dumps({**JOB, "links": []}).encode(),
])  # fmt: skip
def test_an_answer_that_is_no_record_says_so(answer: bytes) -> None:
    exchange = flows.get_job(JOB_ID)
    exchange.send(None)

    with pytest.raises(UnreadableAnswerError, match=f"the answer of /v1/jobs/{JOB_ID} is not a JobReport"):
        exchange.send(httpx.Response(200, content=answer))


def test_words_and_keys_of_a_later_release_are_no_reason_to_fail() -> None:
    exchange = flows.get_job(JOB_ID)
    exchange.send(None)

    with pytest.raises(StopIteration) as ended:
        exchange.send(make_answer({**JOB, "state": "paused", "colour": "blue"}))

    assert ended.value.value.state == "paused"
