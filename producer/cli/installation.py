"""The installation that a command works on: its servers, a database with a compatible schema, and its jobs."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from producer.cli.errors import UsageError
from starlight_vocabulary.job import Job
from storage.database import connect
from storage.embedded.servers import Servers, provide_servers
from storage.jobs import get_job
from storage.schema_version import check_schema, upgrade_schema
from storage.settings import Settings, read_settings
from storage.workers import list_live_workers


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation as a command reaches it: its settings, its servers, and connections to its database."""

    settings: Settings
    servers: Servers
    engine: Engine


@contextmanager
def open_installation(*, upgrade: bool = False, program: str = "command") -> Iterator[Installation]:
    """Yield the installation on the configured servers, or on embedded ones, which stop with their last user.

    The schema of embedded servers is upgraded; that of configured servers only with `upgrade`. Raises SchemaError if
    the schema is not compatible with this code.
    """
    configured = read_settings()
    with provide_servers(configured) as addresses:
        engine = connect(
            addresses.database_url,
            direct_url=configured.database_direct_url,
            application=f"starlight {program}",
        )
        try:
            if upgrade or configured.database_url is None:
                upgrade_schema(engine)
            else:
                check_schema(engine)
            yield Installation(configured, addresses, engine)
        finally:
            engine.dispose()


def warn_without_workers(current: Installation) -> None:
    """Print a warning if there is no live worker, before a person waits for a job."""
    if not list_live_workers(current.engine, current.settings.lease_s):
        print("there is no live worker: the job waits until one is started (`starlight up`)", file=sys.stderr)


def parse_id(text: str) -> uuid.UUID:
    """Return the job id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a job id; `starlight jobs` lists them") from None


def require_job(current: Installation, job_id: str) -> Job:
    """Return the job; raises UsageError if it does not exist."""
    status = get_job(current.engine, parse_id(job_id))
    if status is None:
        raise UsageError(f"there is no job {job_id}; `starlight jobs` lists them")
    return status
