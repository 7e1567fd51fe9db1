"""The stack to measure: embedded servers, a dispatcher and workers, in a temporary folder."""

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from producer.stack import Stack, make_dispatcher, make_workers
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority
from storage.database import connect, wait_out_outages
from storage.embedded.servers import Servers, provide_servers
from storage.jobs import get_job
from storage.notifications import FINISHED, listen
from storage.schema_version import upgrade_schema
from storage.settings import Settings
from storage.submission import submit_job
from storage.workers import list_live_workers
from worker.devices import Device

POLL_S = 0.05
WORKER_START_S = 180


@dataclass(frozen=True, slots=True)
class MeasuredStack:
    """Running servers; `workers` adds a dispatcher and workers."""

    engine: Engine
    settings: Settings
    addresses: Servers

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for processes of this stack."""
        return {**self.addresses.environment(), "STARLIGHT_DATA_DIR": str(self.settings.data_dir)}

    @contextmanager
    def workers(self, devices: Sequence[Device], *, reuse: bool = False) -> Iterator[None]:
        """Run a dispatcher and a worker for each device during the block."""
        environment = {**self.environment, "STARLIGHT_REUSE": str(reuse)}
        with Stack([make_dispatcher(), *make_workers(devices)], environment, self.settings.data_dir / "logs"):
            deadline = time.monotonic() + WORKER_START_S
            while len(list_live_workers(self.engine, self.settings.lease_s)) < len(devices):
                if time.monotonic() > deadline:
                    sys.exit(f"bench: no worker within {WORKER_START_S} s; see {self.settings.data_dir / 'logs'}")
                time.sleep(POLL_S)
            yield

    def submit(self, uris: Sequence[str], priority: Priority = Priority.BULK, submitter: str = "bench") -> uuid.UUID:
        """Submit a job."""
        return submit_job(
            self.engine,
            uris,
            JobOptions(priority=priority),
            submitter=submitter,
            chunk_size=self.settings.chunk_size,
        ).job_id

    def finish(self, job_id: uuid.UUID, images: int | None = None) -> None:
        """Wait for all verdicts of a job, or for `images` of them; exits with an error if one is an error."""
        for _ in listen(self.engine, (FINISHED,), POLL_S):
            job = get_job(self.engine, job_id)
            assert job is not None
            if job.error:
                sys.exit(f"bench: job {job_id} has errors; see {self.settings.data_dir / 'logs'}")
            if job.ended or (images is not None and job.finished >= images):
                return

    def forget(self) -> None:
        """Delete all jobs with their chunks and verdicts."""

        def delete() -> None:
            with self.engine.begin() as connection:
                connection.execute(text("DELETE FROM jobs"))

        # Workers that still finish chunks may cause a deadlock.
        wait_out_outages(delete)


@contextmanager
def run_servers(folder: Path) -> Iterator[MeasuredStack]:
    """Run embedded servers with their data in `folder` during the block."""
    settings = Settings(data_dir=folder / "data", database_url=None, redis_url=None)
    with provide_servers(settings) as addresses:
        engine = connect(addresses.database_url)
        upgrade_schema(engine)
        try:
            yield MeasuredStack(engine, settings, addresses)
        finally:
            engine.dispose()
