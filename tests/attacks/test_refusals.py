"""Refused requests are logged once, with the client, and without secrets or control characters."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.keys import create_key
from tests.attacks.conftest import ServedApi, serve_api
from tests.kit.threads import PATIENCE_S

UNKNOWN = "starlight_0123456789ab_" + "5ec2e7" * 10
FEW_LINES = 20


def ask(served: ServedApi, method: str, path: str, **headers: str) -> str:
    """Return the request id in a response."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.getheader("x-request-id"))


@pytest.fixture
def served(session_servers: tuple[str, str], tmp_path: Path) -> Iterator[ServedApi]:
    """The API in a separate process for each test, because lines of one kind are logged once a minute."""
    with serve_api(session_servers, tmp_path, {}) as api:
        yield api


def test_a_key_that_is_none_is_logged_without_itself(served: ServedApi) -> None:
    sent = [f"Bearer {UNKNOWN}", f"bearer  {UNKNOWN}", UNKNOWN, "Basic YTpi", ""]
    request_ids = [ask(served, "GET", "/v1/jobs?secret=5ec2e7", Authorization=each) for each in sent]

    served.log.wait_for(f"a request is refused (401): GET /v1/jobs from 127.0.0.1, no key  request={request_ids[0]}")
    assert [served.log.count(each) for each in ("5ec2e7", "0123456789ab", "YTpi")] == [0, 0, 0]


def test_a_scope_that_is_missing_is_logged_with_the_key_s_prefix(served: ServedApi) -> None:
    key = create_key(served.engine, "bob", ["read"])

    request_id = ask(served, "POST", "/scan/transaction", Authorization=f"Bearer {key}")

    served.log.wait_for(
        "a request is refused (403): POST /scan/transaction from 127.0.0.1, "
        f"key {key.split('_')[1]}  request={request_id}"
    )
    assert served.log.count(key) == 0


def test_a_name_that_is_not_ours_and_a_body_that_is_too_large_are_logged(served: ServedApi) -> None:
    misled = ask(served, "GET", "/health", Host="evil.example")
    large = ask(served, "POST", "/v1/stats", Authorization=f"Bearer {served.key}", **{"Content-Length": "100000"})

    served.log.wait_for("a request is refused (421): GET /health", f"request={misled}")
    served.log.wait_for("a request is refused (413): POST", f"request={large}")


def test_many_refusals_are_few_lines(served: ServedApi) -> None:
    for _ in range(300):
        ask(served, "GET", "/v1/jobs", Authorization=f"Bearer {UNKNOWN}")

    assert served.log.count("is refused (401)") == 1
    assert served.log.count("") < FEW_LINES


def test_what_stands_in_a_request_steers_no_log(served: ServedApi) -> None:
    request_id = ask(served, "GET", "/%1b[2J%0a2026-01-01%20all%20is%20well" + "x" * 5000)

    served.log.wait_for("a request is refused (401): GET /\\x1b[2J\\n2026-01-01 all is well", request_id)
    assert served.log.count("\x1b") == 0
    assert served.log.count("x" * 1000) == 0


def test_no_address_is_believed_that_a_header_names(served: ServedApi) -> None:
    forged = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded"), "192.0.2.66")
    request_id = ask(served, "GET", "/v1/jobs", **forged, **{"X-Forwarded-Proto": "https"})

    served.log.wait_for(f"a request is refused (401): GET /v1/jobs from 127.0.0.1, no key  request={request_id}")
    assert served.log.count("192.0.2.66") == 0
