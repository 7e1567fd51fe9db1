"""What every subcommand needs: the servers, the database at its newest schema, and ids that people type."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from storage.database import connect, upgrade
from storage.embedded.servers import Servers, servers
from storage.settings import Settings, settings
from storage.workers import live_workers


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
def session() -> Iterator[Session]:
    """Yield a session on the configured servers, or on embedded ones, which stop with their last user."""
    configured = settings()
    with servers(configured) as addresses:
        engine = connect(addresses.database_url, application="starlight command")
        try:
            upgrade(engine)
            yield Session(configured, addresses, engine)
        except BrokenPipeError as error:
            raise OutputClosedError from error
        finally:
            engine.dispose()


def warn_without_workers(current: Session) -> None:
    """Tell a person who would wait for nothing."""
    if not live_workers(current.engine, current.settings.lease_s):
        print("no worker is alive on these servers: the job waits until one starts (`starlight up`)", file=sys.stderr)


def parse_id(text: str) -> uuid.UUID:
    """Return the job id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no job id; `starlight jobs` lists them") from None
