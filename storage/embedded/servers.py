"""Both embedded servers together: started by their first user and stopped by the last."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.data_folder import check_ownership, make_data_folder, write_whole
from storage.embedded.locks import FileLock
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.redis import EmbeddedRedis
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class Servers:
    """The URLs of the servers, embedded or configured."""

    database_url: str
    redis_url: str
    embedded: "EmbeddedServers | None" = None

    def revive(self) -> None:
        """Restart embedded servers that have died, on the same addresses."""
        if self.embedded is not None:
            self.embedded.attach()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a child process use these servers."""
        return {"STARLIGHT_DATABASE_URL": self.database_url, "STARLIGHT_REDIS_URL": self.redis_url}


class EmbeddedServers:
    """PostgreSQL and Redis in one data folder, each only if the settings have no address for it.

    They are daemons: killing the process that started them leaves them running, and the next start finds them. Users
    hold a shared lock; the last one to leave stops them.
    """

    def __init__(self, settings: Settings) -> None:
        self.data_dir = settings.data_dir
        make_data_folder(self.data_dir)
        self._starting = FileLock(self.data_dir / "starting.lock")
        self._users = FileLock(self.data_dir / "users.lock")
        password = self._password()
        self._postgres = None if settings.database_url else EmbeddedPostgres(self.data_dir / "postgres", password)
        self._redis = (
            None if settings.redis_url else EmbeddedRedis(self.data_dir / "redis", password, settings.redis_server)
        )

    def attach(self) -> tuple[str | None, str | None]:
        """Start the servers that are not running; return the URLs of PostgreSQL and Redis, None for configured ones."""
        with self._starting.hold():
            self._users.acquire(shared=True)
            return self._postgres.start() if self._postgres else None, self._redis.start() if self._redis else None

    def detach(self) -> None:
        """Release the servers; the last user stops them."""
        with self._starting.hold():
            self._users.release()
            if self._users.acquire(wait=False):
                self._stop()
                self._users.release()

    def stop(self) -> int | None:
        """Stop the servers unless somebody uses them; return how many were running, None if somebody uses them."""
        with self._starting.hold():
            if not self._users.acquire(wait=False):
                return None
            stopped = self._stop()
            self._users.release()
            return stopped

    def _stop(self) -> int:
        return sum(server.stop() for server in (self._redis, self._postgres) if server)

    def _password(self) -> str:
        path = self.data_dir / "password"
        with self._starting.hold():
            if not path.exists():
                write_whole(path, secrets.token_urlsafe(24))
        check_ownership(path)
        return path.read_text()


@contextmanager
def provide_servers(settings: Settings) -> Iterator[Servers]:
    """Yield the addresses of the servers, with embedded ones in place of those not configured."""
    if settings.database_url and settings.redis_url:
        yield Servers(settings.database_url, settings.redis_url)
        return
    embedded = EmbeddedServers(settings)
    try:
        database_url, redis_url = embedded.attach()
        yield Servers(settings.database_url or database_url or "", settings.redis_url or redis_url or "", embedded)
    finally:
        embedded.detach()
