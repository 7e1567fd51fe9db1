"""A database filled with synthetic verdicts, and an analyst who reads it."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Engine

from research.filling import JOB_IMAGES, fill_verdicts
from storage.analysts import create_analyst
from storage.database import connect
from storage.jobs import list_jobs
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.databases import copy_database

JOBS = 12
DAYS = 3.0
# One whole day, and parts of the days before and after it.
SINCE = (datetime.now(UTC) - timedelta(days=1.5)).replace(hour=0, minute=0, second=0, microsecond=0)


class Generated:
    """A filled database, its verdicts as the interface shows them, and an analyst's connection."""

    def __init__(self, engine: Engine, analyst: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.engine = engine
        self.analyst = analyst
        self.verdicts = list(find_verdicts(engine, VerdictFilter()))
        self.recent = [verdict for verdict in self.verdicts if verdict.scanned_at >= SINCE]
        self.found = [verdict for verdict in self.recent if verdict.is_stego]
        self.jobs = list_jobs(engine)
        self.submitters = {job.id: job.submitter for job in self.jobs}
        times = Counter(verdict.sha256 for verdict in self.verdicts if verdict.sha256)
        self.file = min(sha256 for sha256, count in times.items() if count > 1)


def drop_role(url: str, name: str) -> None:
    """Drop the role if it exists."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP ROLE IF EXISTS "{name}"')


def make_role_name() -> str:
    """Return a separate name, since roles belong to the server and not to a database."""
    return f"analyst_{uuid.uuid4().hex}"


@contextmanager
def generate_verdicts(server_url: str) -> Iterator[Generated]:
    """Yield a filled database on this server, with a connection of an analyst."""
    name = make_role_name()
    with copy_database(server_url) as url:
        engine = connect(url)
        fill_verdicts(engine, JOBS * JOB_IMAGES - 1, DAYS)
        with psycopg.connect(create_analyst(engine, name), autocommit=True) as analyst:
            yield Generated(engine, analyst)
        engine.dispose()
    drop_role(server_url, name)
