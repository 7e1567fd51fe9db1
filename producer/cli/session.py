"""What every subcommand needs: the servers, a database whose schema fits, and ids that people type."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from starlight_vocabulary.job import Job
from storage.database import connect
from storage.embedded.servers import Servers, provide_servers
from storage.jobs import get_job
from storage.schema_version import check_schema, upgrade_schema
from storage.settings import Settings, read_settings
from storage.workers import list_live_workers


class UsageError(Exception):
    """The command was asked for something that is not there; the message says what."""


class OutputClosedError(Exception):
    """Nobody reads the output any more. Typer would end with the exit code that means "something was found"."""


@dataclass(frozen=True, slots=True)
class Session:
    """The connections of one run of the command."""

    settings: Settings
    servers: Servers
    engine: Engine


@contextmanager
def open_session(*, upgrade: bool = False, program: str = "command") -> Iterator[Session]:
    """Yield a session on the configured servers, or on embedded ones, which stop with their last user.

    Embedded servers are ours: their schema is brought up to date. Others' is left as it is unless `upgrade` is asked
    for. Raises SchemaError where it does not fit this code.
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
            yield Session(configured, addresses, engine)
        except BrokenPipeError as error:
            raise OutputClosedError from error
        finally:
            engine.dispose()


def warn_without_workers(current: Session) -> None:
    """Tell a person who would wait for nothing."""
    if not list_live_workers(current.engine, current.settings.lease_s):
        print("no worker is alive on these servers: the job waits until one starts (`starlight up`)", file=sys.stderr)


def parse_id(text: str) -> uuid.UUID:
    """Return the job id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no job id; `starlight jobs` lists them") from None


def require_job(current: Session, job_id: str) -> Job:
    """Return the job; raises UsageError where there is none."""
    status = get_job(current.engine, parse_id(job_id))
    if status is None:
        raise UsageError(f"there is no job {job_id}; `starlight jobs` lists them")
    return status
