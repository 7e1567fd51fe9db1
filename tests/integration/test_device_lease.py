"""Leases of devices: one worker per name, until its process ends, however it ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.kit.command import make_environment
from tests.kit.programs import run_program
from tests.kit.threads import PATIENCE_S
from worker.device_lease import DeviceLease, DeviceTakenError

NAME = "cpu0@here"
HOLDERS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")


@pytest.fixture
def lease(engine: Engine) -> Iterator[DeviceLease]:
    lease = DeviceLease(engine, NAME)
    lease.take()
    yield lease
    lease.stop()


def test_the_second_of_a_name_is_told_so(engine: Engine, lease: DeviceLease) -> None:
    with pytest.raises(DeviceTakenError, match="a worker for cpu0 is already running on here"):
        DeviceLease(engine, NAME).take()

    other = DeviceLease(engine, "cpu1@here")
    other.take()
    other.stop()


def test_a_device_is_free_once_its_worker_has_ended(engine: Engine) -> None:
    first, second = DeviceLease(engine, NAME), DeviceLease(engine, NAME)
    first.take()
    first.stop()

    second.take()
    second.stop()


def test_a_lost_connection_is_opened_again_and_holds_the_device(engine: Engine, lease: DeviceLease) -> None:
    lease.start()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        connection.execute(text(ended))
        while connection.execute(HOLDERS).scalar_one():
            pass
        while not connection.execute(HOLDERS).scalar_one():
            pass

    with pytest.raises(DeviceTakenError):
        DeviceLease(engine, NAME).take()


def test_of_two_workers_that_are_started_the_second_is_told_so_and_the_first_goes_on(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path / "data"}
    with run_program("-m", "worker", "cpu0", settings=settings, until=" ready") as first:
        second = subprocess.run(
            [sys.executable, "-m", "worker", "cpu0"],
            env=make_environment({**settings, "data_dir": tmp_path / "other"}),
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

        assert second.returncode == os.EX_SOFTWARE
        assert f"a worker for cpu0 is already running on {socket.gethostname()}" in second.stderr
        assert "Traceback" not in second.stderr
        assert first.process.is_alive()
        third = DeviceLease(engine, f"cpu0@{socket.gethostname()}")
        with pytest.raises(DeviceTakenError):
            third.take()
        # The lease of a killed process ends when PostgreSQL notices the closed connection.
        first.process.kill()
        first.process.join(PATIENCE_S)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while connection.execute(HOLDERS).scalar_one():
                pass
        third.take()
        third.stop()
