"""Bodies that are large, or expensive to parse: refused before they cost anything, and not read without a key."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import pytest

from tests.attacks.conftest import ServedApi
from tests.kit.threads import PATIENCE_S

MIB = 2**20
PIECE = 256 * 2**10


@dataclass(frozen=True)
class Attack:
    """An endless body, how many bytes of it are sent at most, the expected status, and the permitted costs."""

    route: str
    media_type: str
    piece: bytes
    bytes_sent: int
    with_key: bool
    status: int
    # Bytes that the process may need beyond those of an idle one.
    costs_bytes: int

    def write_body(self) -> Iterator[bytes]:
        """Yield the body piece by piece."""
        whole = self.piece * (PIECE // len(self.piece))
        return islice(repeat(whole), self.bytes_sent // len(whole))


JSON = "application/json"
ATTACKS = {
    "a batch without a key": Attack("/scan/batch", JSON, b"a", 256 * MIB, False, 401, 16 * MIB),
    "a block without a key": Attack("/scan/block", JSON, b"[],", 256 * MIB, False, 401, 16 * MIB),
    "a job without a key": Attack("/v1/jobs", JSON, b"[", 256 * MIB, False, 401, 16 * MIB),
    "an image without a key": Attack(
        "/scan/image", "multipart/form-data; boundary=x", b"a", 256 * MIB, False, 401, 16 * MIB
    ),
    "an inscription without a key": Attack(
        "/inscribe", "multipart/form-data; boundary=x", b"a", 256 * MIB, False, 401, 16 * MIB
    ),
    "a route that is not there": Attack("/v1/nothing", JSON, b"a", 256 * MIB, False, 401, 16 * MIB),
    "an endless batch": Attack("/scan/batch", JSON, b"a", 256 * MIB, True, 413, 96 * MIB),
    "an endless batch as text": Attack("/scan/batch", "text/plain", b"a", 256 * MIB, True, 413, 96 * MIB),
    "an endless block": Attack("/scan/block", JSON, b"a", 256 * MIB, True, 413, 16 * MIB),
    "an endless job": Attack("/v1/jobs", JSON, b"a", 256 * MIB, True, 413, 48 * MIB),
    "nested lists in a batch": Attack("/scan/batch", JSON, b"[", 15 * MIB, True, 422, 400 * MIB),
    "many empty lists in a batch": Attack("/scan/batch", JSON, b"[],", 15 * MIB, True, 422, 400 * MIB),
    "nested lists in a job": Attack("/v1/jobs", JSON, b"[", 3 * MIB, True, 422, 200 * MIB),
    "many empty lists in a job": Attack("/v1/jobs", JSON, b"[],", 3 * MIB, True, 422, 200 * MIB),
    "a body where none belongs": Attack("/v1/stats", JSON, b"a", 256 * MIB, True, 405, 16 * MIB),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_body_costs_no_more_than_its_bound(served: ServedApi, attack: Attack) -> None:
    idle = ask(served, "GET", "/health")
    before = served.read_peak_bytes()

    status = send(served, attack)

    assert (idle, status) == (200, attack.status)
    assert served.read_peak_bytes() - before <= attack.costs_bytes
    assert ask(served, "GET", "/health") == 200


def ask(served: ServedApi, method: str, path: str) -> int:
    """Return the status of a request without a body."""
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE_S) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return read_status(connection)


def send(served: ServedApi, attack: Attack) -> int:
    """Return the status of the response, which may come before everything is sent."""
    authorization = f"Authorization: Bearer {served.key}\r\n" if attack.with_key else ""
    head = f"POST {attack.route} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: {attack.media_type}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE_S) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for piece in attack.write_body():
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # The server has answered and closed the connection already.
            pass
        return read_status(connection)


def read_status(connection: socket.socket) -> int:
    """Return the status of the response on this connection."""
    line = connection.recv(64)
    return int(line.split(b" ")[1])
