"""Scans on two hosts while their network fails: `scripts/two_hosts`.

Servers run in one network namespace and a worker in each of two others, joined by a bridge. While a job is scanned,
one host is disconnected for longer than its leases, then both links lose and delay packets, then the network recovers.
Every image must get exactly one verdict. Needs root, `ip`, `tc` and `bridge`; if the kernel has no netem, the bridge
forwards nothing for part of each second instead. Prints the results as one JSON object; exits with 1 if a verdict is
missing or double.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, make_url, text

from producer.stack import make_dispatcher
from research.chaos.jobs import draw_pictures
from starlight_vocabulary.job import JobOptions
from storage.audits import audit_jobs
from storage.database import connect
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.redis import find_program
from storage.jobs import get_job
from storage.schema_version import upgrade_schema
from storage.submission import submit_job
from storage.workers import list_live_workers

BRIDGE = "bridge"
IP = ("ip", "netns")
SERVERS, HOSTS = "starlight-servers", ("starlight-host1", "starlight-host2")
# Addresses of the servers, the first host and the second, in a range that is unlikely to be in use.
ADDRESSES = ("10.213.7.1", "10.213.7.2", "10.213.7.3")
NETWORK = "10.213.7.0/24"
REDIS_PORT = 6379
# netem parameters of a bad link.
BAD_LINK = "delay 80ms 20ms loss 5%"
LEASE_S = 3.0
PATIENCE_S = 240.0
STOP_S = 30.0
LOOK_EVERY_S = 0.1
DOWN_S = 0.2
CHUNKS_BY_WORKER = text(
    "SELECT worker, count(*) AS chunks FROM provenance WHERE job_id = :job GROUP BY worker ORDER BY 1"
)


class NotPossibleError(Exception):
    """A requirement is missing; the message says which."""


def main() -> None:
    """Run the scan; exit with 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images of the job (%(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        with tempfile.TemporaryDirectory(prefix="starlight-hosts-") as name, ExitStack() as running:
            folder = Path(name)
            folder.chmod(0o711)
            seen = scan(folder, options.images, running)
        print(json.dumps(seen, indent=1))
        sys.exit(0 if seen["exact"] else 1)
    try:
        check_machine()
    except NotPossibleError as error:
        print(f"two_hosts: skipped: {error}", file=sys.stderr)
        return
    with join_namespaces():
        inside = [sys.executable, "-m", "research.two_hosts", "--inside", f"--images={options.images}"]
        done = subprocess.run([*IP, "exec", SERVERS, *inside], check=False)
    sys.exit(done.returncode)


def check_machine() -> None:
    """Raise NotPossibleError if this machine cannot create the namespaces."""
    if os.geteuid() != 0:
        raise NotPossibleError("network namespaces need root")
    for program in ("ip", "tc", "bridge", "unshare"):
        if shutil.which(program) is None:
            raise NotPossibleError(f"there is no `{program}`: `apt install iproute2 util-linux`")
    if SERVERS in subprocess.run([*IP, "list"], capture_output=True, text=True, check=True).stdout:
        raise NotPossibleError(f"namespace {SERVERS} exists: wait for the other run, or `ip netns delete {SERVERS}`")


@contextmanager
def join_namespaces() -> Iterator[None]:
    """Create a namespace for the servers and one for each host, joined by a bridge, for the duration of the block."""
    try:
        for name in (SERVERS, *HOSTS):
            command(f"ip netns add {name}")
            command(f"ip -n {name} link set lo up")
        command(f"ip -n {SERVERS} link add {BRIDGE} type bridge")
        command(f"ip -n {SERVERS} address add {ADDRESSES[0]}/24 dev {BRIDGE}")
        command(f"ip -n {SERVERS} link set {BRIDGE} up")
        for name, address in zip(HOSTS, ADDRESSES[1:], strict=True):
            command(f"ip -n {SERVERS} link add {link_to(name)} type veth peer name eth0 netns {name}")
            command(f"ip -n {SERVERS} link set {link_to(name)} master {BRIDGE} up")
            command(f"ip -n {name} address add {address}/24 dev eth0")
            command(f"ip -n {name} link set eth0 up")
        yield
    finally:
        # This deletes the links too.
        for name in (SERVERS, *HOSTS):
            subprocess.run([*IP, "delete", name], check=False, capture_output=True)


@contextmanager
def degrade_links(links: Sequence[str]) -> Iterator[str]:
    """Bring links up, let them lose and delay packets during the block; yield a description of how."""
    commands = [["tc", "qdisc", "add", "dev", link, "root", "netem", *BAD_LINK.split()] for link in links]
    if all(subprocess.run(line, check=False, capture_output=True).returncode == 0 for line in commands):
        switch_links(links, "up")
        try:
            yield f"netem {BAD_LINK}"
        finally:
            for link in links:
                command(f"tc qdisc delete dev {link} root")
        return
    over = threading.Event()

    def interrupt() -> None:
        # Not by switching links: Linux delays the event of a link that is up again to one second after the last event,
        # so that they would be down nearly all the time.
        while not over.is_set():
            switch_forwarding(links, "disabled")
            over.wait(DOWN_S)
            switch_forwarding(links, "forwarding")
            over.wait(1 - DOWN_S)

    switch_links(links, "up")
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        yield f"no netem: nothing forwarded for {DOWN_S:g} s of each second"
    finally:
        over.set()
        interrupting.join()


def switch_links(links: Sequence[str], state: str) -> None:
    """Bring links `up` or `down`."""
    for link in links:
        command(f"ip link set {link} {state}")


def switch_forwarding(links: Sequence[str], state: str) -> None:
    """Make the bridge forward packets of these links, `forwarding`, or drop them, `disabled`."""
    for link in links:
        command(f"bridge link set dev {link} state {state}")


def link_to(host: str) -> str:
    """Return the name of the servers' end of the link to a host."""
    return f"to-{host.removeprefix('starlight-')}"


def command(line: str) -> None:
    """Run a command; raises CalledProcessError."""
    subprocess.run(line.split(), check=True)


def scan(folder: Path, images: int, running: ExitStack) -> dict[str, Any]:
    """Scan a job of this number of images while the network fails; return the results."""
    rng = np.random.default_rng(8)
    harmless, _ = draw_pictures(folder / "pictures", rng, 0)
    references = [harmless[number % len(harmless)] for number in range(images)]
    environment = start_servers(folder, running)
    engine = connect(environment["STARLIGHT_DATABASE_URL"])
    running.callback(engine.dispose)
    upgrade_schema(engine)
    dispatcher = [sys.executable, *make_dispatcher().arguments]
    start(dispatcher, environment, folder / "dispatcher.log", running)
    for host in HOSTS:
        # Each worker is identified by the name of its host.
        named = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]
        worker = [*IP, "exec", host, *named, sys.executable, "-m", "worker", "cpu0"]
        start(worker, environment, folder / f"{host}.log", running)
    wait_for(lambda: count_live(engine) == len(HOSTS), "two workers should start", folder)

    job_id = submit_job(engine, references, JobOptions(), submitter="two hosts", chunk_size=64).job_id
    links = [link_to(host) for host in HOSTS]
    started = time.monotonic()
    steps: dict[str, float] = {}

    def reach(share: float) -> None:
        wait_for(lambda: count_finished(engine, job_id) >= share * images, f"{share:.0%} should be scanned", folder)
        steps[f"{share:.0%}"] = round(time.monotonic() - started, 1)

    reach(0.1)
    cut_at = time.monotonic()
    switch_links(links[:1], "down")
    wait_for(lambda: count_live(engine) < len(HOSTS), "the disconnected worker should not be live", folder)
    noticed_s = time.monotonic() - cut_at
    reach(0.4)
    with degrade_links(links) as kind:
        reach(0.7)
    reach(1.0)
    wait_for(lambda: count_live(engine) == len(HOSTS), "the disconnected worker should be live again", folder)
    (audit,) = audit_jobs(engine, [job_id])
    with engine.connect() as connection:
        by_host = {row.worker: row.chunks for row in connection.execute(CHUNKS_BY_WORKER, {"job": job_id})}
        losses = connection.execute(text("SELECT coalesce(sum(losses), 0) FROM chunks")).scalar_one()
    return {
        "images": images, "seconds_until": steps, "cut_noticed_s": round(noticed_s, 1), "bad_link": kind,
        "chunks_lost": losses, "chunks_by_worker": by_host, "references": audit.references,
        "verdicts": audit.verdicts, "missing": audit.missing, "double": audit.double, "exact": audit.exact,
    }  # fmt: skip


def start_servers(folder: Path, running: ExitStack) -> dict[str, str]:
    """Start PostgreSQL and Redis on the servers' address; return the environment for programs that use them."""
    password = secrets.token_urlsafe(24)
    postgres = EmbeddedPostgres(folder / "postgres", password, other_address=ADDRESSES[0])
    running.callback(postgres.stop)
    postgres.start()
    postgres.stop()
    with (postgres.data / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {NETWORK} scram-sha-256\n")
    database_url = make_url(postgres.start()).set(host=ADDRESSES[0]).render_as_string(hide_password=False)
    configuration = f"bind {ADDRESSES[0]}\nport {REDIS_PORT}\nrequirepass {password}\ndir {folder}\nsave ''\n"
    redis = subprocess.Popen([find_program(None), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    running.callback(end, redis)
    assert redis.stdin is not None
    with redis.stdin:
        redis.stdin.write(configuration)
    return {
        **os.environ,
        "STARLIGHT_DATABASE_URL": database_url,
        "STARLIGHT_REDIS_URL": f"redis://:{password}@{ADDRESSES[0]}:{REDIS_PORT}/0",
        "STARLIGHT_DATA_DIR": str(folder / "data"),
        "STARLIGHT_LEASE_S": str(LEASE_S),
        "STARLIGHT_REUSE": "false",
        "STARLIGHT_TORCH_THREADS": "1",
        "STARLIGHT_DECODE_PROCESSES": "1",
    }


def start(arguments: Sequence[str], environment: dict[str, str], log: Path, running: ExitStack) -> None:
    """Start a program that ends with `running`; its output goes to the log."""
    with log.open("wb") as stream:
        running.callback(end, subprocess.Popen(arguments, env=environment, stdout=stream, stderr=stream))


def end(program: "subprocess.Popen[Any]") -> None:
    """Terminate a program and wait until it has ended; kill it after `STOP_S`."""
    program.terminate()
    try:
        program.wait(STOP_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def wait_for(condition: Callable[[], bool], expectation: str, folder: Path) -> None:
    """Wait until the condition holds; after `PATIENCE_S`, exit with the last lines of all logs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            logs = [line for log in folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()[-5:]]
            sys.exit("\n".join([f"two_hosts: within {PATIENCE_S:.0f} s {expectation}", *logs]))
        time.sleep(LOOK_EVERY_S)


def count_live(engine: Engine) -> int:
    """Return the number of live workers."""
    return len(list_live_workers(engine, LEASE_S))


def count_finished(engine: Engine, job_id: uuid.UUID) -> int:
    """Return the number of images of the job that have a verdict."""
    job = get_job(engine, job_id)
    assert job is not None
    return job.finished


if __name__ == "__main__":
    main()
