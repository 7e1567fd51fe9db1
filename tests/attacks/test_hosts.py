"""Strangers' pages that reach this machine by a DNS name of their own (rebinding), and Flower without a password."""

import base64
import http.client
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from storage.hosts import is_asked_by_name, is_loopback, list_names, list_names_if_known
from storage.settings import Settings
from tests.attacks.conftest import ServedApi
from tests.kit.command import run_starlight
from tests.kit.ports import find_free_port
from tests.kit.programs import run_program
from tests.kit.threads import PATIENCE_S

FOREIGN = ("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[", "")
OURS = ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080")
CREDENTIALS = "ann:12345678"


def ask(port: int, path: str, host: str | None, **headers: str) -> int:
    """Return the status of the response to a request with this host name, or without one."""
    return request("GET", port, path, host, **headers)[0]


def request(method: str, port: int, path: str, host: str | None, **headers: str) -> tuple[int, Mapping[str, str]]:
    """Return the status and the headers of the response, by names in lower case."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {**({} if host is None else {"Host": host}), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def servers(database_url: str, redis_url: str, tmp_path: Any) -> Mapping[str, object]:
    """Settings of programs that use the test's own servers."""
    return {"database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path}


@pytest.fixture
def exporter(servers: Mapping[str, object]) -> Iterator[int]:
    """The port of a running exporter."""
    port = find_free_port()
    with run_program("-m", "monitoring", settings={**servers, "exporter_port": port}, until="metrics are served"):
        yield port


@pytest.fixture
def flower(servers: Mapping[str, object]) -> Iterator[int]:
    """The port of a running Flower that listens on every interface and accepts one more host name."""
    port = find_free_port()
    settings = {
        **servers, "flower_port": port, "flower_host": "0.0.0.0", "flower_basic_auth": CREDENTIALS,
        "allowed_hosts": '["flower.example"]',
    }  # fmt: skip
    with run_program("-m", "monitoring.flower", settings=settings, until="Flower listens on"):
        yield port


def test_the_api_answers_to_its_own_names_alone(served: ServedApi) -> None:
    for path in ("/health", "/docs", "/v1/jobs", "/nothing"):
        assert {ask(served.port, path, name) for name in FOREIGN} <= {400, 421}
        assert ask(served.port, path, "evil.example") == 421
    assert {ask(served.port, "/docs", name) for name in OURS} == {200}


def test_the_exporter_answers_to_its_own_names_alone(exporter: int) -> None:
    assert {ask(exporter, "/metrics", name) for name in FOREIGN} == {421}
    assert {ask(exporter, "/metrics", name) for name in (*OURS, None)} == {200}


def test_flower_answers_to_its_own_names_alone_and_asks_for_the_password(flower: int) -> None:
    basic = f"Basic {base64.b64encode(CREDENTIALS.encode()).decode()}"

    for path in ("/workers", "/api/workers", "/static/js/flower.js", "/healthcheck"):
        assert {ask(flower, path, name, Authorization=basic) for name in FOREIGN} <= {400, 421}
        assert ask(flower, path, "evil.example", Authorization=basic) == 421
    assert {ask(flower, "/workers", name, Authorization=basic) for name in (*OURS, "flower.example")} == {200}
    assert ask(flower, "/workers", "localhost") == 401


ANSWER = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}


def test_the_exporter_s_answers_are_shown_in_no_browser(exporter: int) -> None:
    for name in ("localhost", "evil.example"):
        _, headers = request("GET", exporter, "/metrics", name)

        assert ANSWER.items() <= headers.items()
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "charset=utf-8" in headers["content-type"]


def test_flower_is_framed_by_nobody_and_obeys_no_other_site(flower: int) -> None:
    basic = f"Basic {base64.b64encode(CREDENTIALS.encode()).decode()}"

    for path in ("/workers", "/static/js/flower.js", "/nothing", "/api/workers"):
        status, headers = request("GET", flower, path, "localhost", Authorization=basic, Origin="https://evil.example")
        assert ANSWER.items() <= headers.items(), (path, status)
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert [each for each in headers if each.startswith("access-control-")] == []
    _, page = request("GET", flower, "/workers", "localhost", Authorization=basic)
    assert "; samesite=strict" in page["set-cookie"].lower()
    for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        sent = {"Authorization": basic, "Content-Length": "0", **foreign}
        assert request("POST", flower, "/api/worker/shutdown/cpu0@here", "localhost", **sent)[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", ""])
@pytest.mark.parametrize("credentials", [None, "", "ann", "ann:", ":12345678", "ann:1234567"])
def test_flower_without_a_password_is_refused_beyond_loopback(host: str, credentials: str | None) -> None:
    with pytest.raises(ValidationError, match="must be name:password"):
        Settings(flower_host=host, flower_basic_auth=credentials and SecretStr(credentials))


def test_who_starts_flower_without_a_password_is_told_in_a_line() -> None:
    run = run_starlight("up", settings={"flower_host": "0.0.0.0"})

    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("starlight: a setting is wrong: STARLIGHT_FLOWER_BASIC_AUTH: ")
    assert "must be name:password" in line


@pytest.mark.parametrize(
    ("address", "inside"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_loopback_is_what_this_machine_alone_reaches(address: str, inside: bool) -> None:
    assert is_loopback(address) == inside


@pytest.mark.parametrize(
    ("address", "allowed", "host", "known"),
    [
        ("127.0.0.1", [], "scan.example", False), ("127.0.0.1", ["scan.example"], "Scan.Example:443", True),
        ("127.0.0.1", ["*.example"], "a.example", True), ("127.0.0.1", ["*.example"], "a.example.evil", False),
        ("192.0.2.1", [], "192.0.2.1:80", True), ("192.0.2.1", [], "evil.example", False),
        ("0.0.0.0", [], "evil.example", True), ("::", [], "evil.example", True), ("", [], "evil.example", True),
        ("0.0.0.0", ["scan.example"], "evil.example", False), ("0.0.0.0", ["scan.example"], "scan.example", True),
    ],
)  # fmt: skip
def test_on_every_interface_any_name_is_ours_unless_one_is_set(
    address: str, allowed: list[str], host: str, known: bool
) -> None:
    assert is_asked_by_name(host, list_names_if_known(address, allowed)) == known


def test_flower_knows_its_names_on_every_interface_too() -> None:
    assert not is_asked_by_name("evil.example", list_names("0.0.0.0", []))
    assert is_asked_by_name(None, list_names("0.0.0.0", []))
