"""PgBouncer in front of the tests' PostgreSQL."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.kit.folders import make_temporary_folder
from tests.kit.ports import find_free_port

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
"""


@contextmanager
def pool_transactions(database_url: str, connections: int = 2) -> Iterator[str]:
    """Yield the URL of the database through a pooler with this many connections; skips without PgBouncer."""
    if not Path(PROGRAM).exists():
        pytest.skip("there is no PgBouncer here: `apt install pgbouncer`")
    url = make_url(database_url)
    with make_temporary_folder() as folder:
        file = folder / "pgbouncer.ini"
        listen_port = find_free_port()
        file.write_text(
            CONFIGURATION.format(
                host=url.host, port=url.port, user=url.username, password=url.password, listen_port=listen_port,
                connections=connections,
            )
        )  # fmt: skip
        # PgBouncer refuses to run as root.
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen([PROGRAM, *user, str(file)], stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                assert any("process up" in line for line in server.stderr), "PgBouncer does not start"
                pooled = url.set(host="127.0.0.1", port=listen_port).render_as_string(hide_password=False)
                psycopg.connect(pooled).close()
                yield pooled
            finally:
                server.terminate()
                # Reads the rest, as a full pipe would keep it from ending.
                server.communicate()
