"""TCP ports for servers that tests start."""

import secrets
import socket
from itertools import count

# Below what systems give to connections and to who asks for any port: until a server has started, nobody else takes it.
FIRST = 15_000
COUNT = 17_000

# From another port on in each process of tests.
_ports = count(secrets.randbelow(COUNT))


def find_free_port() -> int:
    """Return a port on the loopback interface that nothing listens on, another one each time."""
    while True:
        port = FIRST + next(_ports) % COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
