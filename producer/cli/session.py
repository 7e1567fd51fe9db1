"""What every subcommand needs: the servers, the database at its newest schema, and ids that people type."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from storage.database import connect, upgrade
from storage.embedded.servers import Servers, servers
from storage.settings import Settings, settings


class UsageError(Exception):
    """The command was asked for something that is not there; the message says what."""


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
        finally:
            engine.dispose()


def parse_id(text: str) -> uuid.UUID:
    """Return the job id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no job id; `starlight jobs` lists them") from None
