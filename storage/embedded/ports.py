"""TCP ports on the loopback interface for embedded servers."""

import socket
from collections.abc import Iterator
from pathlib import Path


def find_free_port() -> int:
    """Return a port that is currently free; if another program takes it first, try again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def try_ports(remembered: Path, tries: int) -> Iterator[int]:
    """Yield the port in the file `remembered` first, so that clients find a restarted server again, then free ones.

    Each yielded port is written to the file, so after a successful start it contains the server's.
    """
    for attempt in range(tries):
        port = int(remembered.read_text()) if attempt == 0 and remembered.exists() else find_free_port()
        remembered.write_text(str(port))
        yield port


def find_usable_port(preferred: int) -> int:
    """Return the preferred port, or a free one if something listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return find_free_port()
    return preferred
