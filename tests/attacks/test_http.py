"""Responses that browsers and proxies might misread: each declares its type, and none redirects elsewhere."""

import http.client
import socket

import pytest

from producer.api.connections import BUSY
from storage.jobs import cancel_job
from tests.attacks.conftest import ServedApi
from tests.kit.rows import submit_job_of
from tests.kit.threads import PATIENCE_S

EVERY_ANSWER = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
DIRECTIVES = ("object-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
ASKED = [
    ("GET", "/health"), ("GET", "/docs"), ("GET", "/docs/start.js"), ("GET", "/docs/assets/swagger-ui.css"),
    ("GET", "/openapi.json"), ("GET", "/nothing"), ("GET", "/v1/jobs"), ("PUT", "/health"), ("TRACE", "/health"),
    ("OPTIONS", "/v1/jobs"),
]  # fmt: skip


def ask(served: ServedApi, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """Return the response, with its body read."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def send(served: ServedApi, request: bytes) -> bytes:
    """Return everything that is received in response to these bytes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_every_answer_tells_browsers_what_not_to_do_with_it(served: ServedApi) -> None:
    for method, path in ASKED:
        answer = ask(served, method, path, Origin="https://evil.example")
        given = {name.lower(): value for name, value in answer.getheaders()}
        policy = [each.strip() for each in given["content-security-policy"].split(";")]

        assert EVERY_ANSWER.items() <= given.items(), path
        assert set(DIRECTIVES) <= set(policy), path
        assert "default-src 'none'" in policy, path
        assert [name for name in given if name.startswith("access-control-")] == [], path


@pytest.mark.parametrize(
    "request_", [b"nonsense\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"], ids=["nonsense", "no host"]
)
def test_what_is_answered_before_the_application_is_asked_has_them_too(served: ServedApi, request_: bytes) -> None:
    head = send(served, request_).partition(b"\r\n\r\n")[0].lower()

    assert head.startswith(b"http/1.1 400 ")
    assert b"content-type: text/plain; charset=utf-8" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"frame-ancestors 'none'" in head


@pytest.mark.parametrize("path", ["/docs", "/v1/jobs", "/health"])
def test_text_says_its_charset_and_json_is_json(served: ServedApi, path: str) -> None:
    kind = ask(served, "GET", path, Authorization=f"Bearer {served.key}").getheader("content-type")

    assert kind == {"/docs": "text/html; charset=utf-8"}.get(path, "application/json")


@pytest.mark.parametrize("path", ["/v1/jobs/", "/docs/", "/health/", "/docs/assets", "//evil.example/", "/v1/jobs//"])
def test_nobody_is_redirected(served: ServedApi, path: str) -> None:
    answer = ask(served, "GET", path, Authorization=f"Bearer {served.key}")

    assert answer.status == 404
    assert answer.getheader("location") is None


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/docs/v1/jobs", 404, "there is nothing at /docs/v1/jobs"),
        ("PUT", "/v1/stats", 413, "the request body is larger than the limit"),
        ("PUT", "/health", 405, "/health does not accept PUT"),
    ],
)
def test_an_address_with_a_wrong_path_is_told_before_the_body_is_sent(
    served: ServedApi, method: str, path: str, status: int, said: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    size = "0" if status == 405 else str(10**9)
    connection.putrequest(method, path)
    for name, value in {"Content-Length": size, "Authorization": f"Bearer {served.key}"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()

    assert (answer.status, said in answer.read().decode()) == (status, True)
    connection.close()


@pytest.mark.parametrize(
    "path", ["/docs/assets/", "/docs/assets/..", "/docs/assets/%2e%2e/__init__.py", "/docs/assets/."]
)
def test_no_folder_is_listed_and_none_is_left(served: ServedApi, path: str) -> None:
    assert ask(served, "GET", f"/docs/assets/{path}").status == 404


def test_trace_is_not_answered_with_what_was_sent(served: ServedApi) -> None:
    assert ask(served, "TRACE", "/health", Cookie="secret").status == 405


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 6\r\nContent-Length: 7\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n", "Content-Length: +6\r\n",
    ],
)  # fmt: skip
def test_a_body_with_two_lengths_hides_no_request(served: ServedApi, lengths: str) -> None:
    hidden = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = f"POST /health HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n0\r\n\r\n{hidden}"

    statuses = [line for line in send(served, request.encode()).split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]

    # With chunks and a valid length, every server must see the end of the body here; all other requests are refused.
    if "Content-Length: 6\r\nTransfer" in lengths:
        assert statuses[0] == b"HTTP/1.1 405 Method Not Allowed"
    else:
        assert statuses[0].split()[1] in (b"400", b"501")
        assert len(statuses) == 1


def test_a_stream_of_events_is_not_kept_either(served: ServedApi) -> None:
    job = submit_job_of(served.engine, 1, submitter="ann")
    cancel_job(served.engine, job)

    answer = ask(served, "GET", f"/v1/jobs/{job}/events", Authorization=f"Bearer {served.key}")

    assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert answer.getheader("cache-control") == "no-store"


def test_who_finds_no_room_is_told_so_with_the_same_headers() -> None:
    head = BUSY.partition(b"\r\n\r\n")[0].split(b"\r\n")

    assert {b"content-type: text/plain; charset=utf-8", b"x-content-type-options: nosniff"} <= set(head)
