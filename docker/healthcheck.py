"""`healthcheck.py dispatcher|canary|worker|api|exporter|flower`: exit 0 while this container's program does its work.

Where it does not, three checks in a row, the check ends the program, and what supervises the container starts it
again: by SIGTERM, and from the next check on by SIGKILL. A database that is away is no fault of the program, which
waits for it: then the container is unhealthy and goes on.

It runs every few seconds in every container, so it does without SQLAlchemy, which costs a second of processor time.
"""

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_S = 10
# Past a pooler, where there is one.
DIRECT_URL = "STARLIGHT_DATABASE_DIRECT_URL"
# How many checks in a row have to fail before the program is ended.
PATIENCE = 3
# A program that has not started well by then never does.
START_S = 120
# How many checks failed in a row. In memory, and gone with the container's processes; who runs here owns its folder.
FAILURES = Path("/tmp/starlight-health")  # noqa: S108


class AwayError(Exception):
    """Whether the program does its work cannot be told: something else that it needs is away."""


def dispatcher() -> bool:
    """Whether the dispatcher asked PostgreSQL for something within the last minute, as each of its rounds does."""
    return asks("dispatcher")


def canary() -> bool:
    """Whether the service of canaries did, as it does every few seconds.

    Behind a pooler nothing tells: it has no connection of its own. That rounds stop is told by an alert.
    """
    return bool(os.environ.get(DIRECT_URL)) or asks("canary")


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
    """Whether the API answers; what it answers while PostgreSQL is away, or no worker lives, tells of that."""
    return b'"status"' in fetch("http://127.0.0.1:8080/health?ready=1")


def exporter() -> bool:
    """Whether the exporter answers a scrape."""
    return b"starlight_postgres_up" in fetch("http://127.0.0.1:9808/metrics")


def flower() -> bool:
    """Whether Flower answers."""
    prefix = f"/{os.environ.get('STARLIGHT_FLOWER_URL_PREFIX', '')}".rstrip("/")
    return fetch(f"http://127.0.0.1:5555{prefix}/healthcheck") == b"OK"


def holds(query: str, *parameters: object) -> bool:
    """Return the one value that the query asks PostgreSQL for; raises AwayError where it does not answer."""
    import psycopg

    url = os.environ.get(DIRECT_URL) or os.environ["STARLIGHT_DATABASE_URL"]
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_S, application_name="starlight healthcheck") as connection:
            row = connection.execute(query, parameters).fetchone()
    except psycopg.OperationalError as error:
        raise AwayError(f"PostgreSQL does not answer: {error}") from error
    return row is not None and bool(row[0])


def container_age_s() -> float:
    """Return how long the container's first process has run."""
    # The fields after the program's name in parentheses; the 22nd of proc(5) is the start in ticks since boot.
    started = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def fetch(url: str) -> bytes:
    """Return the body of a page of this container; raises AwayError where it answers that it cannot do its work."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http URLs
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise AwayError(f"{url} answers {error.code}") from error


CHECKS = {check.__name__: check for check in (dispatcher, canary, worker, api, exporter, flower)}


def count_failure() -> int:
    """Count one more failed check and return how many there are in a row."""
    failures = read_failures() + 1
    FAILURES.write_text(str(failures))
    return failures


def read_failures() -> int:
    """Return how many checks failed in a row."""
    try:
        return int(FAILURES.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def find_program() -> int | None:
    """Return the process id of this container's program, None where nothing started it here."""
    # The container's first process is the init, which has one child.
    children = Path("/proc/1/task/1/children").read_text().split()
    return int(children[0]) if os.getpid() != 1 and children else None


def end_program(failures: int) -> None:
    """End the program that has failed so many checks in a row: gently at first."""
    program = find_program()
    if program is not None:
        os.kill(program, signal.SIGTERM if failures == PATIENCE else signal.SIGKILL)


def main(name: str) -> int:
    """Check the program of this name; return the exit code that says whether it does its work."""
    try:
        works = CHECKS[name]()
    except AwayError as error:
        # Unhealthy, and nothing that a new start would mend.
        print(error)
        FAILURES.unlink(missing_ok=True)
        return 1
    except OSError as error:
        print(error)
        works = False
    if works:
        FAILURES.unlink(missing_ok=True)
        return 0
    failures = count_failure()
    if failures >= PATIENCE and container_age_s() > START_S:
        end_program(failures)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
