"""Queries with a time limit, because it is unknown beforehand how much they read."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

LIMIT_TIME = text("SELECT set_config('statement_timeout', :milliseconds, true)")


class QueryTooLongError(RuntimeError):
    """A query exceeded its time limit; the message says which and what to do."""


@contextmanager
def connect_within(engine: Engine, seconds: float, what: str, advice: str) -> Iterator[Connection]:
    """Yield a connection, in a transaction, with a timeout for each statement.

    Raises QueryTooLongError, whose message says that `what` takes longer, and the advice.
    """
    try:
        with engine.begin() as connection:
            connection.execute(LIMIT_TIME, {"milliseconds": f"{seconds * 1000:.0f}"})
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise QueryTooLongError(f"{what} takes longer than {seconds:g} s: {advice}") from error
        raise
