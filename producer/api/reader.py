"""Reading from the database for waiting requests, in a few threads."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from storage.database import may_succeed_later
from storage.outages import POSTGRESQL, Backoff

# Threads, each with its own connection.
READERS = 2

T = TypeVar("T")


class Reader:
    """Runs queries in a few threads of its own, and waits while the database is not available."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = CapacityLimiter(READERS)

    def start(self, query: Callable[[Engine], T]) -> "asyncio.Task[T]":
        """Start a query and return its task, which several coroutines may await."""
        return asyncio.create_task(self.read(query))

    async def read(self, query: Callable[[Engine], T]) -> T:
        """Run a query and return its result."""
        with Backoff(POSTGRESQL) as backoff:
            while True:
                try:
                    return await to_thread.run_sync(query, self._engine, limiter=self._threads)
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    await asyncio.sleep(backoff.note_failure(error.orig or error))
