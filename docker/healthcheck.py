"""`healthcheck.py dispatcher|canary|worker|api|exporter|flower`: exit 0 if this container's program does its work.

The third failed check in a row ends the program by SIGTERM, each further one by SIGKILL; the container's supervisor
then starts it again. While the database is not available, the program waits for it: the check fails, but ends nothing.

The check runs every few seconds in every container, so it must not import SQLAlchemy, which takes a second of processor
time.
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
# The URL that bypasses a pooler, if there is one.
DIRECT_URL = "STARLIGHT_DATABASE_DIRECT_URL"
# After so many failed checks in a row the program is ended.
PATIENCE = 3
# In a younger container the program is never ended, because it may still be starting.
START_S = 120
# The number of failed checks in a row. The folder belongs to the container's user, and is lost with the container.
FAILURES = Path("/tmp/starlight-health")  # noqa: S108


class AwayError(Exception):
    """It is unknown whether the program does its work, because something that it needs is not available."""


def check_dispatcher() -> bool:
    """Whether the dispatcher has sent a query in the last minute; each of its rounds sends some."""
    return has_sent_query("dispatcher")


def check_canary() -> bool:
    """Whether the service of canaries has sent a query in the last minute; it sends some every few seconds.

    Behind a pooler this is unknown, because the service has no direct connection; an alert tells if rounds stop.
    """
    return bool(os.environ.get(DIRECT_URL)) or has_sent_query("canary")


def has_sent_query(program: str) -> bool:
    """Whether this container's program has sent a query to PostgreSQL in the last minute.

    Behind a pooler, only the connection that listens for notifications shows the program's name, and it sends no
    queries: then, whether the program is connected.
    """
    return query_truth(
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


def check_worker() -> bool:
    """Whether this container's worker has reported within two leases, and since the container was started."""
    from storage.settings import read_settings

    # As in `storage.workers`, which this process does not import.
    age_s = min(2 * read_settings().lease_s, read_container_age_s())
    return query_truth(
        """
        SELECT EXISTS (
            SELECT FROM workers
            WHERE split_part(name, '@', 2) = %s AND seen_at > now() - make_interval(secs => %s)
        )
        """,
        socket.gethostname(),
        age_s,
    )


def check_api() -> bool:
    """Whether the API answers; raises AwayError if it says that PostgreSQL or all workers are missing."""
    return b'"status"' in fetch("http://127.0.0.1:8080/health?ready=1")


def check_exporter() -> bool:
    """Whether the exporter answers a scrape."""
    return b"starlight_postgres_up" in fetch("http://127.0.0.1:9808/metrics")


def check_flower() -> bool:
    """Whether Flower answers."""
    prefix = f"/{os.environ.get('STARLIGHT_FLOWER_URL_PREFIX', '')}".rstrip("/")
    return fetch(f"http://127.0.0.1:5555{prefix}/healthcheck") == b"OK"


def query_truth(query: str, *parameters: object) -> bool:
    """Return the truth value that the query selects; raises AwayError if PostgreSQL does not answer."""
    import psycopg

    url = os.environ.get(DIRECT_URL) or os.environ["STARLIGHT_DATABASE_URL"]
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_S, application_name="starlight healthcheck") as connection:
            row = connection.execute(query, parameters).fetchone()
    except psycopg.OperationalError as error:
        raise AwayError(f"PostgreSQL does not answer: {error}") from error
    return row is not None and bool(row[0])


def read_container_age_s() -> float:
    """Return how many seconds the container's first process has run."""
    # In proc(5), field 22 is the start in clock ticks since boot. The fields after the program's name in parentheses
    # begin with the third.
    started = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def fetch(url: str) -> bytes:
    """Return the body of a page of this container; raises AwayError for an error status."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http URLs
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise AwayError(f"{url} answers {error.code}") from error


CHECKS = {
    "dispatcher": check_dispatcher,
    "canary": check_canary,
    "worker": check_worker,
    "api": check_api,
    "exporter": check_exporter,
    "flower": check_flower,
}


def count_failure() -> int:
    """Count a failed check, and return the number of failed checks in a row."""
    failures = read_failures() + 1
    FAILURES.write_text(str(failures))
    return failures


def read_failures() -> int:
    """Return the number of failed checks in a row."""
    try:
        return int(FAILURES.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def find_program() -> int | None:
    """Return the process id of this container's program, None if this process is its only program."""
    # The first process of the container is an init, whose only child is the program.
    children = Path("/proc/1/task/1/children").read_text().split()
    return int(children[0]) if os.getpid() != 1 and children else None


def end_program(failures: int) -> None:
    """End the program after so many failed checks in a row; the first signal lets it clean up."""
    program = find_program()
    if program is not None:
        os.kill(program, signal.SIGTERM if failures == PATIENCE else signal.SIGKILL)


def main(name: str) -> int:
    """Check the program of this name; return the exit code: 0 if it does its work, else 1."""
    try:
        works = CHECKS[name]()
    except AwayError as error:
        # A restart of the program would not help.
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
    if failures >= PATIENCE and read_container_age_s() > START_S:
        end_program(failures)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
