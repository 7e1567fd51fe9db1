"""The faults; each is injected from outside the production code."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import redis
from sqlalchemy import text

from research.chaos.stack import LEASE_S, ChaosStack, Member
from research.processes import list_processes
from storage.broker import QUEUES

Rng = np.random.Generator

PAUSE_S = 2.5 * LEASE_S
"""How long a process is paused: long enough that its leases expire and its chunks run elsewhere."""


def kill_worker(stack: ChaosStack, rng: Rng) -> bool:
    """Kill a worker; return whether one was running."""
    return _kill(stack.group("worker"), rng)


def kill_decoder(stack: ChaosStack, rng: Rng) -> bool:
    """Kill a decoding process of a worker."""
    workers = {member.process.pid for member in stack.group("worker") if member.process is not None}
    decoders = [process.pid for process in list_processes() if process.parent in workers]
    return bool(decoders) and _sent(decoders[rng.integers(len(decoders))], signal.SIGKILL)


def kill_dispatcher(stack: ChaosStack, rng: Rng) -> bool:
    """Kill a dispatcher; return whether one was running."""
    return _kill(stack.group("dispatcher"), rng)


def pause_worker(stack: ChaosStack, rng: Rng) -> bool:
    """Pause a worker with SIGSTOP; the caller resumes it after `PAUSE_S`, when its leases have expired."""
    return _pause(stack.group("worker"), rng)


def pause_dispatcher(stack: ChaosStack, rng: Rng) -> bool:
    """Pause a dispatcher with SIGSTOP."""
    return _pause(stack.group("dispatcher"), rng)


def kill_api(stack: ChaosStack, rng: Rng) -> bool:
    """Kill the API; return whether it was running."""
    return _kill(stack.group("api"), rng)


def kill_redis(stack: ChaosStack, rng: Rng) -> bool:
    """Kill Redis; it restarts with its persisted data."""
    del rng
    return _kill_redis(stack)


def kill_redis_and_its_data(stack: ChaosStack, rng: Rng) -> bool:
    """Kill Redis and delete its data."""
    del rng
    killed = _kill_redis(stack)
    for path in (stack.folder / "data" / "redis").rglob("*.aof*"):
        path.unlink(missing_ok=True)
    return killed


def empty_redis(stack: ChaosStack, rng: Rng) -> bool:
    """Delete all data of a running Redis."""
    del rng
    with redis.Redis.from_url(stack.servers.redis_url) as client:
        client.flushall()
    return True


def put_foreign_messages(stack: ChaosStack, rng: Rng) -> bool:
    """Push invalid messages to the queues."""
    with redis.Redis.from_url(stack.servers.redis_url) as client:
        for queue in QUEUES:
            client.lpush(queue, rng.bytes(100), b"{}", b"\x80\x04.", b'{"body": "", "headers": {}, "properties": 1}')
    return True


def stop_postgres_immediately(stack: ChaosStack, rng: Rng) -> bool:
    """Stop PostgreSQL without a checkpoint, as `pg_ctl stop -m immediate` does."""
    del rng
    return _signal_postmaster(stack, signal.SIGQUIT)


def kill_postgres(stack: ChaosStack, rng: Rng) -> bool:
    """Kill the postmaster of PostgreSQL."""
    del rng
    return _signal_postmaster(stack, signal.SIGKILL)


def cut_connections(stack: ChaosStack, rng: Rng) -> bool:
    """Terminate every connection to PostgreSQL and Redis; the servers keep running."""
    del rng
    with stack.engine.connect() as connection:
        connection.execute(
            text("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
            """)
        )
    with redis.Redis.from_url(stack.servers.redis_url) as client:
        client.execute_command("CLIENT", "KILL", "SKIPME", "yes")
    return True


Fault = Callable[[ChaosStack, Rng], bool]

FAULTS: dict[str, Fault] = {
    "worker killed": kill_worker,
    "worker paused": pause_worker,
    "decoder killed": kill_decoder,
    "dispatcher killed": kill_dispatcher,
    "dispatcher paused": pause_dispatcher,
    "api killed": kill_api,
    "redis killed": kill_redis,
    "redis killed, its data lost": kill_redis_and_its_data,
    "redis emptied": empty_redis,
    "foreign messages": put_foreign_messages,
    "postgres stopped immediately": stop_postgres_immediately,
    "postgres killed": kill_postgres,
    "connections cut": cut_connections,
}


def schedule(count: int, rng: Rng) -> list[str]:
    """Return the names of `count` faults in random order; the counts of any two kinds differ by at most one."""
    names = [name for _ in range(-(-count // len(FAULTS))) for name in rng.permutation(list(FAULTS))]
    return [str(name) for name in names[:count]]


def _kill(members: list[Member], rng: Rng) -> bool:
    if members:
        members[rng.integers(len(members))].send(signal.SIGKILL)
    return bool(members)


def _pause(members: list[Member], rng: Rng) -> bool:
    if members:
        member = members[rng.integers(len(members))]
        member.paused = True
        member.send(signal.SIGSTOP)
    return bool(members)


def _kill_redis(stack: ChaosStack) -> bool:
    with redis.Redis.from_url(stack.servers.redis_url) as client:
        process_id = int(client.info("server")["process_id"])
    return _sent(process_id, signal.SIGKILL)


def _signal_postmaster(stack: ChaosStack, signal_number: int) -> bool:
    pid_file = stack.folder / "data" / "postgres" / "data" / "postmaster.pid"
    return pid_file.exists() and _sent(_first_number(pid_file), signal_number)


def _first_number(path: Path) -> int:
    return int(path.read_text().split("\n", 1)[0])


def _sent(process_id: int, signal_number: int) -> bool:
    try:
        os.kill(process_id, signal_number)
    except ProcessLookupError:
        return False
    return True
