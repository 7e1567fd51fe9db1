"""Reads what requests wait for, in few threads."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from storage.database import may_succeed_later
from storage.outages import POSTGRESQL, Patience

# Threads that read for all, each on a connection of its own.
READERS = 2

T = TypeVar("T")


class Reader:
    """Reads from the database in a few threads of its own, and waits where the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = CapacityLimiter(READERS)

    def start(self, query: Callable[[Engine], T]) -> "asyncio.Task[T]":
        """Return the reading as a task that several may wait for."""
        return asyncio.create_task(self.read(query))

    async def read(self, query: Callable[[Engine], T]) -> T:
        """Return what the query returns."""
        with Patience(POSTGRESQL) as patience:
            while True:
                try:
                    return await to_thread.run_sync(query, self._engine, limiter=self._threads)
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    await asyncio.sleep(patience.note_failure(error.orig or error))
