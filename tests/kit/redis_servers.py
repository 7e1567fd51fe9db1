"""Additional Redis servers for tests: with TLS, and with Sentinels."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from storage.embedded.redis import find_program
from tests.kit.certificates import make_certificate
from tests.kit.ports import find_free_port

PASSWORD = "told%to:nobody"
AUTHENTICATED = (f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"', "save ''")


@contextmanager
def start_server(folder: Path, port: int, lines: Sequence[str], program: Path | None = None) -> Iterator[None]:
    """Run the wheel's Valkey, or this program, with these lines of configuration, in a new folder."""
    folder.mkdir()
    file = folder / "redis.conf"
    file.write_text("\n".join(("bind 127.0.0.1", f"dir {folder}", *lines)))
    sentinel = ["--sentinel"] if any(line.startswith("sentinel ") for line in lines) else []
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program or find_program(None), file, *sentinel], stdout=log, stderr=log) as server,
    ):
        try:
            yield
        finally:
            server.terminate()


def wait_until_it_answers(client: "redis.Redis") -> None:
    """Return once the server answers."""
    while True:
        try:
            client.ping()
        except redis.AuthenticationError:
            raise
        except redis.ConnectionError:
            continue
        return


@contextmanager
def serve_by_tls(folder: Path) -> Iterator[str]:
    """Yield the URL of a server with a self-signed certificate that accepts only TLS; skips without such a server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no Redis that speaks TLS here: `apt install redis-server`")
    key, certificate = make_certificate(folder)
    port = find_free_port()
    tls = (
        "port 0", f"tls-port {port}", f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no",
    )  # fmt: skip
    with start_server(folder / "tls", port, (*tls, *AUTHENTICATED), Path(program)):
        url = f"rediss://:told%25to%3Anobody@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        with redis.Redis.from_url(url) as client:
            wait_until_it_answers(client)
        yield url


@contextmanager
def serve_by_sentinel(folder: Path) -> Iterator[str]:
    """Yield the URL of a service with a master and a replica, through a Sentinel that has found both."""
    master, replica, sentinel = find_free_port(), find_free_port(), find_free_port()
    watching = (
        f"port {sentinel}", f'requirepass "{PASSWORD}"', f"sentinel monitor images 127.0.0.1 {master} 1",
        f'sentinel auth-pass images "{PASSWORD}"', f'sentinel sentinel-pass "{PASSWORD}"',
        "sentinel down-after-milliseconds images 500", "sentinel failover-timeout images 2000",
    )  # fmt: skip
    with (
        start_server(folder / "master", master, (f"port {master}", *AUTHENTICATED)),
        start_server(
            folder / "replica", replica,
            (f"port {replica}", f"replicaof 127.0.0.1 {master}", "repl-diskless-sync-delay 0", *AUTHENTICATED),
        ),
    ):  # fmt: skip
        for port in (master, replica):
            with redis.Redis(port=port, password=PASSWORD) as client:
                wait_until_it_answers(client)
                while port == replica and client.info("replication")["master_link_status"] != "up":
                    pass
        with start_server(folder / "sentinel", sentinel, watching):
            with redis.Redis(port=sentinel, password=PASSWORD) as client:
                wait_until_it_answers(client)
                while not any(each["master-link-status"] == "ok" for each in client.sentinel_slaves("images")):
                    pass
            yield f"redis+sentinel://:told%25to%3Anobody@127.0.0.1:{sentinel}/images"
