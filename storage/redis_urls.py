"""Redis URLs: of one server, with or without TLS, or of Sentinels, which know the current master."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SENTINEL_SCHEME = "redis+sentinel"
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The addresses of Sentinels, the service name, and the password of all servers."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    password: str | None

    @property
    def login(self) -> dict[str, Any]:
        """The client's arguments for authentication."""
        return {} if self.password is None else {"password": self.password}

    @property
    def celery_url(self) -> str:
        """The URL for kombu: one per Sentinel."""
        login = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return ";".join(f"sentinel://{login}{host}:{port}/0" for host, port in self.addresses)


def read_sentinels(url: str) -> Sentinels | None:
    """Parse `redis+sentinel://:password@host:port,host:port/service`; return None for the URL of a single server.

    Raises ValueError if it is invalid.
    """
    parts = urlsplit(url)
    if parts.scheme != SENTINEL_SCHEME:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    password = unquote(login.partition(":")[2]) or None
    addresses = []
    for each in hosts.split(","):
        host, _, port = each.partition(":")
        if not host:
            raise ValueError("names no host")
        addresses.append((host, int(port) if port else SENTINEL_PORT))
    service = parts.path.strip("/")
    if not service or "/" in service:
        raise ValueError("names no service")
    return Sentinels(tuple(addresses), service, password)


def mask_password(url: str) -> str:
    """Return any Redis URL without its password."""
    return re.sub(r"(?<=://)([^:/]*):.*@", r"\1:***@", url)
