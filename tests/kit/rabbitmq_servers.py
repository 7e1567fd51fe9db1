"""RabbitMQ servers for tests, by the program of Debian's package."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.certificates import make_certificate
from tests.kit.ports import find_free_port

# The command in the path of Debian changes to the user `rabbitmq`, and only root may run it.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PASSWORD = "told%to:nobody"
QUOTED = "told%25to%3Anobody"
STARTED = "Starting broker... completed"


@dataclass
class RabbitServer:
    """A server on loopback in its own folder, which can be stopped and started again."""

    folder: Path
    lines: tuple[str, ...]
    port: int
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Its URL, without TLS."""
        return f"amqp://ann:{QUOTED}@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it, and the register of names without which Erlang does not start; return once it answers."""
        names, distribution = find_free_port(), find_free_port()
        self.folder.mkdir(exist_ok=True)
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").write_text(
            "\n".join(self.lines or (f"listeners.tcp.1 = 127.0.0.1:{self.port}",))
            + f"\ndefault_user = ann\ndefault_pass = {PASSWORD}\ndisk_free_limit.absolute = 1MB\n"
        )
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "RABBITMQ_HOME": str(self.folder),
            "RABBITMQ_CONF_ENV_FILE": os.devnull, "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"), "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_NODENAME": "test@localhost", "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_CRASH_DUMP": os.devnull, "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(names),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        register = ["epmd", "-address", "127.0.0.1", "-port", str(names)]
        self._running.callback(self._running.enter_context(subprocess.Popen(register, env=environment)).terminate)
        server = self._running.enter_context(
            subprocess.Popen([PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        self._running.callback(server.terminate)
        assert server.stdout is not None
        lines = []
        for line in server.stdout:
            lines.append(line)
            if STARTED in line:
                return
        pytest.fail(f"RabbitMQ did not start: {''.join(lines)}")

    def stop(self) -> None:
        """Stop it."""
        self._running.close()


@contextmanager
def serve_rabbitmq(folder: Path, port: int | None = None, lines: tuple[str, ...] = ()) -> Iterator[RabbitServer]:
    """Yield a running server, with lines of configuration that make it listen there; skips without the program."""
    if not PROGRAM.exists():
        pytest.skip("there is no RabbitMQ here: `apt install rabbitmq-server`")
    server = RabbitServer(folder / "rabbitmq", lines, port or find_free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def serve_by_tls(folder: Path) -> Iterator[str]:
    """Yield the URL of a server that accepts only TLS; its query names the file of the certificate authority."""
    key, certificate = make_certificate(folder)
    port = find_free_port()
    lines = (
        "listeners.tcp = none", f"listeners.ssl.1 = 127.0.0.1:{port}", f"ssl_options.certfile = {certificate}",
        f"ssl_options.keyfile = {key}", f"ssl_options.cacertfile = {certificate}", "ssl_options.verify = verify_none",
        "ssl_options.fail_if_no_peer_cert = false",
    )  # fmt: skip
    with serve_rabbitmq(folder, port, lines):
        yield f"amqps://ann:{QUOTED}@127.0.0.1:{port}//?cacertfile={certificate}"
