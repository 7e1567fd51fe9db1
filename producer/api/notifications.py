"""The thread that listens for notifications of PostgreSQL on behalf of the event loop."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine

from producer.api.known_keys import KnownKeys
from storage.background import BackgroundThread
from storage.notifications import FINISHED, KEYS, REVOKED, Wakeup, listen

# The listener polls after this time without a notification.
POLL_S = 1.0


class NotificationListener(BackgroundThread):
    """Passes the ids of jobs with new verdicts to the event loop, and an empty set after a while without any.

    After a while without notifications, or when a key was revoked, it also clears the known keys.
    """

    def __init__(
        self,
        engine: Engine,
        keys: KnownKeys,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[set[str]], object],
    ) -> None:
        super().__init__("job events")
        self._engine = engine
        self._keys = keys
        self._loop = loop
        self._take = take
        self._wakeup = Wakeup()

    def run(self) -> None:
        """Listen until stopped."""
        for heard in listen(self._engine, (FINISHED, KEYS), POLL_S, self._wakeup):
            # First, so that the event loop admits no revoked key.
            if not heard or REVOKED in heard:
                self._keys.forget_all(is_listening=True)
            if heard != {REVOKED}:
                self._loop.call_soon_threadsafe(self._take, heard - {REVOKED})
        self._keys.forget_all(is_listening=False)

    def wake(self) -> None:
        """Make `run` return."""
        self._wakeup.send()
