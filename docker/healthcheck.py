"""`healthcheck.py dispatcher|canary|worker|api|exporter|flower`: exit 0 while this container's program does its work.

It runs every few seconds in every container, so it does without SQLAlchemy, which costs a second of processor time.
"""

import os
import socket
import sys
import time
import urllib.request
from pathlib import Path

TIMEOUT_S = 10
# Past a pooler, where there is one.
DIRECT_URL = "STARLIGHT_DATABASE_DIRECT_URL"


def dispatcher() -> bool:
    """Whether the dispatcher asked PostgreSQL for something within the last minute, as each of its rounds does."""
    return asks("dispatcher")


def canary() -> bool:
    """Whether the service of canaries did, as it does every few seconds."""
    return asks("canary")


def asks(program: str) -> bool:
    """Whether this container's program asked PostgreSQL for something within the last minute.

    Behind a pooler, where only the connection that it listens on tells its name: whether it is connected.
    """
    return holds(
        """
        SELECT EXISTS (
            SELECT FROM pg_stat_activity
            WHERE starts_with(application_name, 'starlight ' || %s) AND client_addr = inet_client_addr()
                AND (%s OR state_change > now() - interval '1 minute')
        )
        """,
        program,
        bool(os.environ.get(DIRECT_URL)),
    )


def worker() -> bool:
    """Whether this container's worker reported lately, and since the container's last (re)start."""
    from storage.settings import read_settings

    # Two leases of silence, as in `storage.workers`.
    age_s = min(2 * read_settings().lease_s, container_age_s())
    return holds(
        """
        SELECT EXISTS (
            SELECT FROM workers
            WHERE split_part(name, '@', 2) = %s AND seen_at > now() - make_interval(secs => %s)
        )
        """,
        socket.gethostname(),
        age_s,
    )


def api() -> bool:
    """Whether the API answers."""
    return b'"status"' in fetch("http://127.0.0.1:8080/health")


def exporter() -> bool:
    """Whether the exporter answers a scrape."""
    return b"starlight_postgres_up" in fetch("http://127.0.0.1:9808/metrics")


def flower() -> bool:
    """Whether Flower answers."""
    prefix = f"/{os.environ.get('STARLIGHT_FLOWER_URL_PREFIX', '')}".rstrip("/")
    return fetch(f"http://127.0.0.1:5555{prefix}/healthcheck") == b"OK"


def holds(query: str, *parameters: object) -> bool:
    """Return the one value that the query asks PostgreSQL for."""
    import psycopg

    url = os.environ.get(DIRECT_URL) or os.environ["STARLIGHT_DATABASE_URL"]
    with psycopg.connect(url, connect_timeout=TIMEOUT_S, application_name="starlight healthcheck") as connection:
        row = connection.execute(query, parameters).fetchone()
    return row is not None and bool(row[0])


def container_age_s() -> float:
    """Return how long the container's first process has run."""
    # The fields after the program's name in parentheses; the 22nd of proc(5) is the start in ticks since boot.
    started = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def fetch(url: str) -> bytes:
    """Return the body of a page of this container."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http URLs
        return bytes(answer.read())


CHECKS = {check.__name__: check for check in (dispatcher, canary, worker, api, exporter, flower)}

if __name__ == "__main__":
    sys.exit(not CHECKS[sys.argv[1]]())
