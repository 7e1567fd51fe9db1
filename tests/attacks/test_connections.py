"""Very many connections, and requests that never end: others are still served, and the log stays short."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.keys import create_key
from tests.attacks.conftest import Record, ServedApi, record_costs
from tests.kit.pictures import encode_pattern
from tests.kit.ports import find_free_port
from tests.kit.programs import run_program
from tests.kit.rows import execute, submit_job_of
from tests.kit.threads import PATIENCE_S

Serve = Callable[..., AbstractContextManager[ServedApi]]

DESCRIPTORS = 1024
SLOW_HEADS = 1200
# Lines of a log that would be longer if each of these connections were logged.
FEW_LINES = 50
# A program with so few descriptors, which it cannot raise.
CONFINED = f"""
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
runpy.run_module("producer.api", run_name="__main__")
"""
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
END = b"Connection: close\r\n\r\n"


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow this process more connections than the attacked one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * DESCRIPTORS
    if before[1] < wanted:
        pytest.skip(f"no {wanted} descriptors are to be had here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], wanted), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def serve_api(engine: Engine, database_url: str, redis_url: str, tmp_path: Path, record_property: Record) -> Serve:
    """Serves the API with few descriptors and further settings within a block."""

    @contextmanager
    def serve(**settings: object) -> Iterator[ServedApi]:
        port = find_free_port()
        servers = {"database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path, "api_port": port}
        until = f"running on http://127.0.0.1:{port}"
        with run_program("-c", CONFINED, settings={**servers, **settings}, until=until) as api:
            with record_costs(api.pid, record_property):
                key = create_key(engine, "ann", ["submit", "read"])
                yield ServedApi(api.pid, api.log, port, key, engine, tmp_path)
            record_property("log_lines", api.log.count(""))

    return serve


def connect(served: ServedApi) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), PATIENCE_S)


def ask(served: ServedApi) -> bytes:
    """Return the status line of the response on a new connection."""
    with connect(served) as connection:
        connection.sendall(HEAD + END)
        return connection.recv(65536).partition(b"\r\n")[0]


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_slow_heads_keep_nobody_out(serve_api: Serve) -> None:
    with serve_api() as served, ExitStack() as slow:
        for _ in range(SLOW_HEADS):
            slow.enter_context(connect(served)).sendall(HEAD)

        answers = {ask(served) for _ in range(20)}

        assert answers == {b"HTTP/1.1 200 OK"}
        assert len(list(Path(f"/proc/{served.pid}/fd").iterdir())) < DESCRIPTORS
        assert served.log.count("") < FEW_LINES


def trickle(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece repeatedly until the other side closes the connection; return what was received meanwhile."""
    received = b""
    connection.settimeout(0.02)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            connection.sendall(piece)
            data = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return received
        if not data:
            return received
        received += data
    raise AssertionError("it is still open")


@pytest.mark.parametrize(
    ("beginning", "piece", "answer"),
    [
        (b"", b"G", b""),
        (b"GET /health HTTP/1.1\r\n", b"X: y\r\n", b""),
        (HEAD + b"\r\n", b"X", b"HTTP/1.1 200 OK"),
        # The body is not read: the request was already refused, because it has no key.
        (
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n",
            b"x",
            b"HTTP/1.1 401 Unauthorized",
        ),
    ],
    ids=["a method", "headers", "a second head", "a body after its answer"],
)
def test_what_is_sent_byte_by_byte_is_closed(serve_api: Serve, beginning: bytes, piece: bytes, answer: bytes) -> None:
    with serve_api(head_timeout_s=1.0) as served, connect(served) as connection:
        connection.sendall(beginning)

        assert trickle(connection, piece).partition(b"\r\n")[0] == answer


def test_an_answer_may_take_longer_than_a_head(serve_api: Serve) -> None:
    image = encode_pattern("PNG")
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--x--\r\n"
    with serve_api(head_timeout_s=1.0, interactive_wait_s=2.5) as served, connect(served) as connection:
        connection.sendall(
            b"POST /scan/image HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            + f"Authorization: Bearer {served.key}\r\nContent-Length: {len(form)}\r\n\r\n".encode()
        )
        connection.sendall(form)

        # No worker runs.
        assert connection.recv(65536).startswith(b"HTTP/1.1 504 ")


def test_requests_follow_each_other_on_one_connection(serve_api: Serve) -> None:
    with serve_api() as served, connect(served) as connection:
        connection.sendall(3 * (HEAD + b"\r\n") + HEAD + END)

        answers = b"".join(iter(lambda: connection.recv(65536), b""))

        assert answers.count(b"HTTP/1.1 200 OK") == 4


def test_who_is_being_answered_makes_no_room(engine: Engine, serve_api: Serve) -> None:
    with serve_api(max_connections_per_address=2) as served, ExitStack() as streams:
        job = submit_job_of(engine, 1)
        for _ in range(2):
            stream = streams.enter_context(connect(served))
            stream.sendall(
                f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {served.key}\r\n\r\n".encode()
            )
            assert stream.recv(15) == b"HTTP/1.1 200 OK"

        assert ask(served) == b"HTTP/1.1 503 Service Unavailable"

        streams.close()


def test_nonsense_fills_no_log(serve_api: Serve) -> None:
    with serve_api() as served:
        for _ in range(200):
            with connect(served) as connection:
                connection.sendall(b"nonsense\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")

        assert ask(served) == b"HTTP/1.1 200 OK"
        assert served.log.count("Invalid HTTP request") == 1


def test_a_body_that_is_sent_byte_by_byte_is_refused(serve_api: Serve) -> None:
    with serve_api(transfer_timeout_s=1.0) as served, connect(served) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            + f"Authorization: Bearer {served.key}\r\nContent-Length: 1000000000\r\n\r\n".encode()
        )

        assert trickle(connection, b"x").partition(b"\r\n")[0] == b"HTTP/1.1 408 Request Timeout"


@pytest.fixture
def large_answer(engine: Engine) -> bytes:
    """The head of a request, without a key, whose response is larger than all buffers on the way."""
    job = submit_job_of(engine, 1)
    execute(
        engine,
        """
        INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code, error_detail, scanned_at)
        SELECT jobs.id, number, 0, 'file:///a', 'error', 'corrupt', repeat('a', 65536), now()
        FROM jobs, generate_series(0, 299) AS number
        """,
    )
    return f"GET /v1/jobs/{job}/verdicts?limit=300 HTTP/1.1\r\nHost: localhost\r\n".encode()


def begin_reading(served: ServedApi, request: bytes, accept: str) -> socket.socket:
    """Send the request and read the first bytes of the response."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", served.port))
    connection.sendall(request + f"Accept: {accept}\r\nAuthorization: Bearer {served.key}\r\n\r\n".encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_an_answer_that_nobody_reads_is_not_kept_for_him(serve_api: Serve, large_answer: bytes, accept: str) -> None:
    with serve_api(transfer_timeout_s=1.0) as served, begin_reading(served, large_answer, accept):
        served.log.wait_for("a connection is closed: its response was not read within 1 s")


def test_an_answer_that_is_read_slowly_is_not_cut_off_as_a_slow_head(serve_api: Serve, large_answer: bytes) -> None:
    with (
        serve_api(head_timeout_s=1.0) as served,
        begin_reading(served, large_answer, "application/json") as connection,
    ):
        for _ in range(2):
            # This waits for as long as a head may take.
            with connect(served) as idle:
                assert idle.recv(1) == b""

        head, _, body = b"".join(iter(lambda: connection.recv(2**20), b"")).partition(b"\r\n\r\n")

        assert f"content-length: {len(body)}" in head.decode()
