"""TCP ports for servers that tests start."""

import secrets
import socket
from itertools import count

# Below the range from which systems assign ports, so that no other program gets the port before the server starts.
FIRST = 15_000
COUNT = 17_000

# Test processes start at different ports.
_ports = count(secrets.randbelow(COUNT))


def find_free_port() -> int:
    """Return a port on the loopback interface that nothing listens on; each call returns another one."""
    while True:
        port = FIRST + next(_ports) % COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
